"""What a result rests on: what is told apart, what stays together, and what a model says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blood_kedro.library.core.records import (
    BESIDE,
    Data,
    Record,
    describe_model,
    merged,
    pictures_of,
    place,
    read_all,
    read_record,
    why_not,
    write_record,
)

CORPUS = Record(
    "unified_summary", "merge", "base", "2026-11-25T10:00:00+00:00", data={"unified_summary": [Data("new")]}
)
SCORE = replace(CORPUS, dataset="regimen_1.metrics", node="regimen_1.score")
NOW = {"unified_summary": CORPUS}


def test_a_result_of_the_corpus_as_it_is_belongs_to_it() -> None:
    assert why_not(SCORE, NOW, "base") is None
    assert why_not(replace(SCORE, data={}), {}, "base") is None  # rests on no data of ours


@pytest.mark.parametrize(
    ("record", "environment", "reason"),
    [
        (None, "base", "nothing is recorded"),
        (SCORE, "laptop", "environment base"),
        (replace(SCORE, data={"unified_summary": [Data("old")]}), "base", "the unified corpus"),
        # Trained on the old corpus, scored on the new one.
        (replace(SCORE, data={"unified_summary": [Data("old"), Data("new")]}), "base", "the unified corpus"),
        (replace(SCORE, data={"chula.cells": [Data("gone")]}), "base", "cells chula"),
        (replace(SCORE, unknown=["regimen_1.model"]), "base", "regimen_1.model"),
    ],
)
def test_whatever_else_does_not(record: Record | None, environment: str, reason: str) -> None:
    found = why_not(record, NOW, environment)
    assert found is not None
    assert reason in found


def test_states_that_went_into_one_result_are_all_kept() -> None:
    old = replace(SCORE, data={"unified_summary": [Data("old")]}, unknown=["x"])
    data, unknown = merged([SCORE, old, SCORE])
    assert [state.fingerprint for state in data["unified_summary"]] == ["new", "old"]
    assert unknown == ["x"]


def test_records_are_found_beside_results_and_in_models_of_one_environment(tmp_path: Path) -> None:
    metrics = place(tmp_path / "08_reporting/regimen_1/metrics.json")
    assert metrics == tmp_path / "08_reporting/regimen_1" / BESIDE / "metrics.json.json"
    model = place(tmp_path / "06_models/regimen_1", is_model=True)
    other = place(tmp_path / "laptop/08_reporting/regimen_1/metrics.json")
    write_record(metrics, SCORE)
    write_record(model, replace(SCORE, dataset="regimen_1.model"))
    write_record(other, replace(SCORE, environment="laptop"))
    assert read_record(metrics) == SCORE
    assert read_record(tmp_path / "nothing.json") is None
    assert {name: record.environment for name, record in read_all(tmp_path).items()} == {
        "regimen_1.metrics": "base",
        "regimen_1.model": "base",
    }


def test_a_model_says_where_when_and_on_what_it_was_trained() -> None:
    assert "nothing is recorded" in describe_model("regimen_1", None)
    real = replace(SCORE, environment="laptop", data={"unified_summary": [Data("a", {"bccd": 364, "synthetic": 9})]})
    said = describe_model("regimen_1", real)
    assert "environment laptop on 2026-11-25 on bccd (364 pictures), synthetic (9 pictures)" in said
    assert "demo" not in said
    demo = replace(SCORE, data={"unified_summary": [Data("a", {"synthetic": 1075})]})
    assert "on generated smears only (1,075 pictures). This is the demo" in describe_model("regimen_1", demo)


def test_cells_tell_more_of_a_model_than_the_corpus_behind_them() -> None:
    corpus = {"unified_summary": [Data("a", {"bccd": 364, "chula": 621})]}
    of_cells = replace(SCORE, data={**corpus, "cutouts_bccd.cells": [Data("b", {"bccd": 270})]})
    assert pictures_of(of_cells) == {"bccd": 270}
    assert pictures_of(replace(SCORE, data=corpus)) == {"bccd": 364, "chula": 621}
