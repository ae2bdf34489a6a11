"""Tables of the model cards and of licences, from what models and the table of published sets say."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from blood_kedro.library.download.published import published
from tests.conftest import PROJECT, load_script


@pytest.fixture(scope="module")
def cards() -> ModuleType:
    return load_script("docs_cards")


def score(**changed: Any) -> dict[str, Any]:
    return {
        "laboratory": "bccd", "class": "rbc", "scale": "none", "unseen": True, "pictures": 100, "groups": 91,
        "cells": 2343, "ap_50": 0.9546, "ap_50_low": 0.947, "ap_50_high": 1.0, "count_error": 0.0667, "exact": 0.23,
    } | changed  # fmt: skip


def test_a_detector_has_a_row_for_each_laboratory_and_class_with_no_hint_of_scale(cards: ModuleType) -> None:
    scores = [score(), score(scale="laboratory"), score(unseen=False, cells=6, **{"class": "platelet"})]
    unseen, home = cards.detector_table({"figures": {"scores": scores}}).split("### Laboratories of its training sets")
    assert "| BCCD | red cells | 100 / 91 | 2,343 | .955&nbsp;[.947,&nbsp;1.000] | 6.7% | 23% |" in unseen
    assert unseen.count("BCCD") == 1
    assert "| BCCD | platelets | 100 / 91 | 6 | .955&nbsp;[.947,&nbsp;1.000] |  | 23% |" in home


def test_a_classifier_has_laboratories_that_it_never_saw_first(cards: ModuleType) -> None:
    part = {"cells": 1007, "groups": 900, "accuracy": 0.8211, "f1": 0.6889, "ece": 0.124, "per_class": {}}
    part["intervals"] = {"accuracy": [0.773, 0.86], "f1": [0.63, 0.777]}
    at_home = part | {"per_class": {"normal_rbc": {"cells": 12, "f1": 0.9}}}
    answered = {"threshold": 0.78, "share_answered": 0.946, "accuracy": 0.959}
    config = {
        "left_out": {"pbc": part, "by_cell": {"test": {}}},
        "figures": {"test": {"bccd": at_home}, "answered_at_threshold": answered},
    }
    table = cards.classifier_table(config)
    row = "1,007 / 900 | .821&nbsp;[.773,&nbsp;.860] | .689&nbsp;[.630,&nbsp;.777] | .124 |"
    assert table.index(f"| PBC, never seen | {row}") < table.index(f"| BCCD, of its training sets | {row}")
    assert "| normal rbc | 12 | .900 |" in table
    assert "answers 95% of these cells" in table


@pytest.mark.parametrize("model", ["cells", "white_cells", "red_cell_shapes"])
def test_each_shipped_model_fills_its_card(cards: ModuleType, model: str) -> None:
    page = (PROJECT / f"docs/models/{model}.md").read_text(encoding="utf-8")
    filled = cards.on_page_markdown(page)
    assert f"<!-- figures of {model} -->" in page and f"<!-- data of {model} -->" in page
    assert "<!--" not in filled
    assert "](https://" in filled and "Apache-2.0" in filled and "MIT" in filled and "&nbsp;[." in filled


def test_every_set_has_a_licence_with_what_it_allows(cards: ModuleType) -> None:
    rows = cards.licence_table().splitlines()[2:]
    assert len(rows) == len(published())
    assert all(len(row.split(" | ")) == 4 for row in rows)
    assert any("| none stated | nothing beyond" in row for row in rows)
