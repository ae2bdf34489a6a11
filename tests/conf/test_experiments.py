"""How runs are named and kept apart in MLflow, what its page offers, and what a run says of itself."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from blood_kedro import mlflow_page
from blood_kedro.experiments import (
    HEADLINES,
    LOSSES,
    has_own_pictures,
    link_of,
    page_of,
    present_run,
    run_name,
    with_experiment,
)
from blood_kedro.library.core.logs import duration
from blood_kedro.library.reporting.headlines import HEADLINE_METRICS, headline_measures
from blood_kedro.library.reporting.results import Results
from blood_kedro.run_log import RunLines, telling_figure
from blood_kedro.tracking import of_part

SETTINGS: dict[str, Any] = {
    "server": {"mlflow_tracking_uri": "x"},
    "tracking": {"experiment": {"name": "blood-kedro"}, "params": {}},
}


@pytest.mark.parametrize(
    ("environment", "chosen", "own", "name"),
    [
        ("base", {"pipeline_names": ["__default__"], "tags": (), "from_nodes": []}, False, "demo"),
        ("base", {}, False, "demo"),
        ("laptop", {"pipeline_names": None}, False, "real"),
        ("paper", {}, False, "paper"),
        ("laptop", {"pipeline_names": ["reporting", "merging"]}, False, "real: merging, reporting"),
        ("base", {"pipeline_names": ["sam_counting"]}, True, "own pictures: sam_counting"),
        ("base", {"node_names": ["merge"]}, False, "demo: merge"),
        ("base", {"node_names": ("merge", "split", "write_report")}, False, "demo: merge and 2 more"),
        ("base", {"from_nodes": ["merge"], "to_outputs": ["report"]}, False, "demo: from merge to report"),
        ("base", {"namespaces": ["regimen_1"], "only_missing_outputs": True}, False, "demo: regimen_1 missing outputs"),
        (
            "laptop",
            {"pipeline_names": ["reporting", "detection_training"], "from_nodes": ["best.predict"]},
            False,
            "real: detection_training, reporting from best.predict",
        ),
    ],
)
def test_runs_are_named_by_what_they_are(environment: str, chosen: dict[str, Any], own: bool, name: str) -> None:
    assert run_name(environment, chosen, of_user=own) == name


def test_all_that_kedro_can_choose_is_in_the_name() -> None:
    """A choice that Kedro adds, or calls otherwise, would leave a part of a run named as the whole."""
    from inspect import signature

    from kedro.framework.session import KedroSession

    told = {*signature(KedroSession.run).parameters} - {"self", "runner", "load_versions", "pipeline_name"}
    for key in told:
        names: Any = True if key == "only_missing_outputs" else ["some"]
        assert run_name("base", {key: names}) != "demo", key


def test_own_pictures_have_an_experiment_of_their_own() -> None:
    own = {"detection": {"input": "smear.jpg"}, "sam_counting": {"input": None}}
    none: dict[str, Any] = {"detection": {"input": None}, "sam_counting": {}}
    assert has_own_pictures(own)
    assert not has_own_pictures(none)
    assert with_experiment(SETTINGS, none) == SETTINGS
    moved = with_experiment(SETTINGS, own)
    assert moved["tracking"]["experiment"] == {"name": "blood-kedro, own pictures"}
    assert SETTINGS["tracking"]["experiment"] == {"name": "blood-kedro"}


def state_in(tag: str) -> dict[str, Any]:
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_a_run_is_named_and_its_experiment_has_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    try:
        client = mlflow.MlflowClient()
        number = client.create_experiment("blood-kedro", artifact_location=str(tmp_path / "artifacts"))
        assert link_of() == ""
        with mlflow.start_run(experiment_id=number) as run:
            present_run(number, "demo", {"blood_kedro.environment": "base"})
            assert link_of() == f"make mlflow, then http://127.0.0.1:5000/#/experiments/{number}/runs"
        assert client.get_run(run.info.run_id).info.run_name == "demo"
        tags = client.get_experiment(number).tags
        views = {view: state_in(tags[f"mlflow.sharedViewState.{view}"]) for view in (HEADLINES, LOSSES)}
        shown = views[HEADLINES]["selectedColumns"]
        assert [f"metrics.`{name}`" for name in HEADLINE_METRICS] == shown[: len(HEADLINE_METRICS)]
        sections = {section["uuid"] for section in views[LOSSES]["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in views[LOSSES]["compareRunCharts"]} == sections
        assert mlflow_page.experiment_number(mlflow.get_tracking_uri()) == number
        assert mlflow_page.experiment_number(f"sqlite:///{tmp_path / 'other.db'}") is None
    finally:
        mlflow.set_tracking_uri(before)


def test_the_page_of_mlflow_opens_at_the_list_of_runs() -> None:
    runs, losses, _ = mlflow_page.pages("http://127.0.0.1:5000", "3")
    assert runs.endswith("http://127.0.0.1:5000/#/experiments/3/runs")
    assert losses.endswith("runs?viewStateShareKey=losses&compareRunsMode=CHART")
    assert page_of("s", "3", HEADLINES) == "s/#/experiments/3/runs?viewStateShareKey=headlines"
    assert mlflow_page.pages("http://127.0.0.1:5000", None) == ["MLflow: http://127.0.0.1:5000 (no run yet: make run)"]


def test_headline_figures_are_the_best_of_each() -> None:
    results = Results(
        regimens={"a": {"metrics": {"map_50": 0.25}}, "b": {"metrics": {"map_50": None}}, "c": {}},
        segmenters={"u": {"metrics": {"iou": 0.5}}},
        overlap_classifiers={"o": {"metrics": {"against_labels": {"accuracy": 1.0}}}},
        smear_inputs={"s": {"count_totals": {"errors": {"rbc": {"counted": 90.0, "labelled": 100.0}}}}},
    )
    measures = headline_measures(results)
    assert measures == pytest.approx({"detection_ap50": 0.25, "segmentation_iou": 0.5, "count_accuracy": 0.9})
    assert set(measures) < set(HEADLINE_METRICS)


def test_a_metric_has_one_name() -> None:
    named = of_part("test", {"accuracy": 0.5, "test_cells": 3, "best_epoch": 2, "cells": 9, "f1": {"rbc": 1.0}})
    assert named == {"test_accuracy": 0.5, "test_cells": 3, "best_epoch": 2, "test_f1": {"rbc": 1.0}}


def test_a_step_is_told_by_one_figure() -> None:
    assert telling_figure({"regimen_1.metrics": {"map": 0.1, "map_50": 0.5164}}) == "metrics: AP50 0.516"
    assert telling_figure({"a.table": pd.DataFrame({"x": range(1200)})}) == "table: 1,200 rows"
    assert telling_figure({"a.metrics": {"against_labels": {"accuracy": 0.5}}}) == "metrics: accuracy 0.500"
    assert telling_figure({"a.metrics": {"images": True}, "b": None}) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.06, "4.1 s"), (125, "2 min 05 s"), (3720, "1 h 02 min"), (59.99, "60.0 s")]
)
def test_durations_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_was_written_last_is_printed_last(caplog: pytest.LogCaptureFixture) -> None:
    lines = RunLines()
    nodes = [SimpleNamespace(name="merge"), SimpleNamespace(name="write_report")]
    catalog = {name: SimpleNamespace(_filepath=f"data/{name}.html") for name in ("classes", "report", "later")}
    with caplog.at_level(logging.INFO):
        lines.before_pipeline_run(SimpleNamespace(nodes=nodes), catalog)  # type: ignore[arg-type]
        for node in nodes:
            lines.before_node_run(node)  # type: ignore[arg-type]
            lines.after_node_run(node, {})  # type: ignore[arg-type]
        lines.after_dataset_saved("classes")
        lines.after_dataset_saved("in_memory")
        lines.after_pipeline_run()
        assert caplog.messages[-1] == "written last: data/classes.html"
        assert any(line.startswith("2/2 write_report: 0.0 s") for line in caplog.messages)
        assert any("2 steps, 1 results written" in line for line in caplog.messages)
        for name in ("report", "later"):
            lines.after_dataset_saved(name)
        lines.after_pipeline_run()
    assert caplog.messages[-1] == "report:  data/report.html"
