"""How wide a red cell is in the images of a source stands at the source, and nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from blood_kedro.environments import config_loader
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.plan import build, written_out
from blood_kedro.plan.cell_px import with_cell_px
from tests.conf.test_configuration import ENVIRONMENTS, load
from tests.conftest import PROJECT

VALUES: dict[str, Any] = {
    "sources": {
        "lab": {"adapter": "coco", "cell_px": 60},
        "drawn": {"adapter": "synthetic", "cell_px": 20, "all_cells_labelled": True},
        "unknown": {"adapter": "coco"},
    },
    "standardization": {"sources": {"lab": {"class_size_px": {"a": 70}}}},
    "overlap": {"crops": {"of_lab": {"source": "lab"}, "own": {"source": "lab", "cell_px": 50}}},
    "sam_counting": {
        "cutouts": {"of_drawn": {"source": "drawn"}},
        "inputs": {"of_a_path": {"path": "x.png"}, "of_unknown": {"source": "unknown"}},
    },
    "morphology": {"cells": {"lab": {"reader": "points"}, "drawn": {"reader": "synthetic"}}},
    "shipped": {"pictures": {"cell_px": 48}},
}


def test_what_is_made_of_a_source_has_its_width() -> None:
    before = copy.deepcopy(VALUES)
    values = with_cell_px(VALUES)
    assert before == VALUES  # nobody else's mapping is changed
    assert {name: entry["cell_px"] for name, entry in values["overlap"]["crops"].items()} == {"of_lab": 60, "own": 50}
    assert values["sam_counting"]["cutouts"]["of_drawn"]["cell_px"] == 20
    assert "cell_px" not in values["sam_counting"]["inputs"]["of_a_path"]
    assert "cell_px" not in values["sam_counting"]["inputs"]["of_unknown"]
    assert values["morphology"]["cells"]["lab"]["cell_px"] == 60
    assert "cell_px" not in values["morphology"]["cells"]["drawn"]
    # cells without a label are looked for where there may be some
    assert values["standardization"]["sources"] == {"lab": {"class_size_px": {"a": 70}, "cell_px": 60}}
    assert values["shipped"]["pictures"] == {"cell_px": 48}
    assert with_cell_px(values) == values


def test_the_values_that_are_measured() -> None:
    """Those of the facts; the boxes of all corpora and the crops of all studies rest on them."""
    plan = build(load("laptop"))
    assert {name: s.cell_px for name, s in plan.sources.items() if s.cell_px} == {
        "synthetic": 38,
        "bccd": 105,
        "chula": 38,
        "pbc": 78,
    }
    assert {name: s.cell_px for name, s in plan.standardization.sources.items() if s.cell_px} == {
        "bccd": 105,
        "chula": 38,
        "pbc": 78,
    }
    assert {name: crops.cell_px for name, crops in plan.overlap.crops.items()} == {
        "overlap_boxes": 38,
        "overlap_cells": 38,
        "overlap_bccd_boxes": 105,
        "overlap_bccd": 105,
        "overlap_chula": 38,
    }
    assert plan.sam_counting.inputs["count_bccd"].cell_px == 105
    assert plan.sam_counting.cutouts["cutouts_pbc"].cell_px == 78
    assert plan.shipped.pictures.chula_cell_px == 38
    assert plan.shipped.pictures.chula_class_size_px == plan.standardization.sources["chula"].class_size_px


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_copy_stands_beside_the_source(environment: str) -> None:
    def copies(part: Any, path: str = "") -> Iterator[str]:
        for key, value in part.items() if isinstance(part, dict) else ():
            here = f"{path}.{key}" if path else str(key)
            if key == "cell_px" and not here.startswith("sources.") and value in widths:
                yield here
            yield from copies(value, here)

    values = config_loader(PROJECT, environment).as_written()
    widths = {SourceOptions(**entry).cell_px for entry in values["sources"].values()} - {None}
    assert widths
    assert list(copies(values)) == []
    assert len(list(copies(written_out(values)))) > 5
