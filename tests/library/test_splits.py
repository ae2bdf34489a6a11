"""Splits that keep groups whole, and what they say of themselves."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.morphology.options import Segmenter
from blood_kedro.library.morphology.splits import segmentation_split
from blood_kedro.library.training.splits import fold_groups, missing_from_parts


def test_a_class_that_a_part_lacks_is_warned_of_by_name(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array(["round", "round", "teardrop", "round", None, "burr"], object)
    parts = {"train": np.array([0, 2, 5]), "val": np.array([1, 4]), "test": np.array([2, 3, 5])}
    with caplog.at_level(logging.WARNING):
        notes = missing_from_parts(labels, parts, "class", "variant x, run 1_2")
    assert len(notes) == 1
    assert notes[0].startswith("variant x, run 1_2: val holds no class burr, teardrop: give more slides")
    assert [record.message for record in caplog.records] == notes


def test_nothing_is_said_where_every_part_has_everything(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array(["a", "b", "a", "b"], object)
    assert missing_from_parts(labels, {"train": np.array([0, 1]), "test": np.array([2, 3])}, "scanner", "x") == []
    assert not caplog.records


@pytest.mark.parametrize("seed", range(4))
def test_every_part_of_a_segmenter_has_every_scanner(seed: int) -> None:
    """Twenty slides through four scanners: by shapes alone, some part lacks a scanner."""
    slides = [f"slide_{k:03d}" for k in range(20) for _ in range(8)]
    table = pd.DataFrame(
        {
            "slide": slides,
            "group_id": slides,
            "image_id": slides,
            "tile_group": None,
            "label": "rbc",
            "shape": ["ovalocyte", "teardrop"] * 80,
            "scanner": [f"scanner_{int(s[-3:]) % 4}" for s in slides],
        }
    )
    run = segmentation_split(table, Segmenter(source="x", seed=seed))
    assert run.missing == ()
    assert all(table["scanner"].iloc[rows].nunique() == 4 for rows in (run.train, run.val, run.test))


def test_a_class_of_one_cell_is_dealt_without_a_warning() -> None:
    labels = np.array(["common"] * 29 + ["rare"], object)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        parts = fold_groups(np.arange(30), labels, np.arange(30), 5, 0)
    assert sorted(np.concatenate([held_out for _, held_out in parts])) == list(range(30))
    assert heard == []
