"""The plan: mistyped keys of files, names from keys, nothing that stays between sessions, nothing that changes."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from pydantic import ValidationError

from blood_kedro.environments import config_loader, plan_of_files
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.pipeline_registry import register_pipelines
from blood_kedro.plan import build, handed_over, lent_plan, written_out
from blood_kedro.plan.tree import named_groups
from tests.conftest import PROJECT


def of_files(environment: str = "base") -> dict[str, Any]:
    return copy.deepcopy(_read(environment))


@cache
def _read(environment: str) -> dict[str, Any]:
    return config_loader(PROJECT, environment).as_written()


def changed(dotted: str, value: Any) -> dict[str, Any]:
    parameters = of_files()
    part = parameters
    *path, last = dotted.split(".")
    for key in path:
        part = part.setdefault(key, {})
    part[last] = value
    return parameters


@pytest.mark.parametrize(
    ("mistyped", "nearest"),
    [
        ("sede", "seed"),
        ("regimen", "regimens"),
        ("download.max_mbs", "download.max_mb"),
        ("sources.bccd.enabeld", "sources.bccd.enabled"),
        ("sources.synthetic.smears.slidez", "sources.synthetic.smears.slides"),
        ("standardization.target", "standardization.target_px"),
        ("standardization.sources.bccd.cel_px", "standardization.sources.bccd.cell_px"),
        ("merging.duplicates.hash_dist", "merging.duplicates.hash_distance"),
        ("evaluation.resample", "evaluation.resamples"),
        ("detection.treshold", "detection.score_threshold"),
        ("pretraining.smears.slidez", "pretraining.smears.slides"),
        ("pretraining.regimen.epoch", "pretraining.regimen.epochs"),
        ("regimens.regimen_1.optimizer.lrr", "regimens.regimen_1.optimizer.lr"),
        ("regimens.focal.seedz", "regimens.focal.seed"),
        ("morphology.sides_px", "morphology.side_px"),
        ("morphology.segmenters.unet.training.epoch", "morphology.segmenters.unet.training.epochs"),
        ("morphology.segmenters.unet.compute.worker", "morphology.segmenters.unet.compute.workers"),
        ("morphology.segmenters.unet.training.workers", "morphology.segmenters.unet.compute.workers"),
        ("overlap.rules.concavty", "overlap.rules.concavity"),
        ("overlap.classifiers.overlap_base.labelz", "overlap.classifiers.overlap_base.labels"),
        ("sam_counting.inputs.own.cel_px", "sam_counting.inputs.own.cell_px"),
        ("sam_counting.classifiers.cell_kinds.search.lrs", "sam_counting.classifiers.cell_kinds.search.lr"),
        ("shipped.cells.recipe.step", "shipped.cells.recipe.steps"),
        ("shipped.cells.recipe.checkpoint_every", "shipped.cells.compute.checkpoint_every"),
        ("shipped_types.white_cells.recipe.checkpoint_every", "shipped_types.white_cells.compute.checkpoint_every"),
        ("shipped.cells.trainings.cells_in_short.changes.step", "shipped.cells.trainings.cells_in_short.changes.steps"),
        ("shipped.cells.judging.draw", "shipped.cells.judging.draws"),
        ("shipped_types.white_cells.recipe.view.side", "shipped_types.white_cells.recipe.view.side_px"),
    ],
)
def test_a_mistyped_key_of_a_file_is_named_with_the_nearest(mistyped: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build(changed(mistyped, 1))
    assert raised.value.what == f"no such parameter: {mistyped}"
    assert raised.value.expected == f"in place of {mistyped}: {nearest}"
    assert raised.value.where.startswith("conf/")


def test_a_mistyped_key_of_a_search_is_named_where_it_was_written_out() -> None:
    with pytest.raises(ConfigurationError) as raised:
        build(changed("regimens.regimen_1.search", {"optimizer.lrr": [1, 2]}))
    assert "in place of regimens.regimen_1_lrr_1.optimizer.lrr: regimens.regimen_1_lrr_1.optimizer.lr" in (
        raised.value.expected
    )


def test_a_group_that_is_given_one_value_says_what_it_holds() -> None:
    with pytest.raises(ConfigurationError, match=r"no such parameter: merging \(a group\)") as raised:
        build(changed("merging", "full"))
    assert "merging.<one of view, min_class_count" in raised.value.expected


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("merging.view", "paper_" + "000", "sahay_2025"),
        ("morphology.classifiers.efficientnet_lite0.view", "paper_" + "003", "elmanna_2024"),
    ],
)
def test_a_number_that_a_paper_once_had_is_refused_with_its_name(key: str, old: str, new: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build(changed(key, old))
    assert raised.value.got.startswith(f"{key}: Input should be ")
    assert f"'{new}'" in raised.value.got


def test_all_values_that_cannot_be_meant_are_named_at_once_whether_enabled_or_not() -> None:
    parameters = changed("regimens.focal.epochs", "many")
    parameters["evaluation"]["split"] = "train"
    parameters["sources"]["synthetic"]["smears"]["cells_per_field"]["normal_rbcc"] = 3
    parameters["seed"] = "7"
    with pytest.raises(ConfigurationError) as raised:
        build(parameters)
    named = {problem.partition(": ")[0] for problem in raised.value.got.split("; ")}
    smears = {"sources.synthetic.smears.cells_per_field"}
    assert smears | {"regimens.focal.epochs", "evaluation.split", "seed"} <= named


def test_what_yaml_anchors_stand_in_is_no_parameter_and_an_empty_section_has_its_defaults() -> None:
    parameters = {**of_files(), "_shared": {"anything": 1}, "evaluation": None}
    assert build(parameters).evaluation.split == "val"


@pytest.mark.parametrize("environment", ["base", "laptop", "paper", "bccd"])
def test_every_entry_is_named_by_its_key_and_no_file_says_it_again(environment: str) -> None:
    written = written_out(of_files(environment))
    assert ("sources",) in named_groups()
    assert ("shipped", "cells", "trainings") in named_groups()
    for path in named_groups():
        group: Any = written
        for key in path:
            group = group[key]
        assert group, path
        assert {name: entry["name"] for name, entry in group.items()} == {name: name for name in group}
    assert written["pretraining"]["regimen"]["name"] == "pretraining"
    for file in (PROJECT / "conf").rglob("parameters*.yml"):
        assert "name:" not in file.read_text()


def test_a_name_that_is_not_the_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="named by its key") as raised:
        build(changed("regimens.focal.name", "regimen_2"))
    assert (raised.value.where, raised.value.expected) == ("regimens.focal.name", "focal")
    assert build(changed("regimens.focal.name", "focal")).regimens["focal"].name == "focal"


def test_a_search_of_the_command_line_comes_nested() -> None:
    plan = build(changed("regimens.regimen_1.search", {"optimizer": {"lr": [0.1, 0.2]}}))
    tried = {name: options.optimizer.lr for name, options in plan.regimens.items() if options.repeats == "regimen_1"}
    assert tried == {"regimen_1_lr_0_1": 0.1, "regimen_1_lr_0_2": 0.2}


def test_a_plan_cannot_be_changed() -> None:
    plan = plan_of_files(PROJECT, "base")
    with pytest.raises(ValidationError, match="frozen"):
        plan.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        plan.morphology.side_px = 3  # type: ignore[misc]


def test_a_plan_is_lent_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    plan = build({"seed": 1, "sources": {"bccd": {"adapter": "bccd"}}})
    with pytest.raises(RuntimeError, match="in between"), handed_over(plan):
        assert lent_plan() is plan
        raise RuntimeError("in between")
    assert lent_plan() is None
    assert plan_of_files().seed == of_files()["seed"] != 1
    assert "bccd.ingest" not in {node.name for node in register_pipelines()["ingestion"].nodes}


@pytest.mark.slow
def test_two_sessions_in_one_process_do_not_see_each_others_parameters(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    bootstrap_project(project)
    seen = []
    for parameters in ({"seed": 5, "regimens": {"focal": {"enabled": True, "seeds": [1, 2]}}}, {}):
        with KedroSession.create(project_path=project, runtime_params=parameters) as session:
            context = session.load_context()
            trained = {node.name for node in pipelines["detection_training"].nodes if node.name.endswith("train")}
            seen.append((context.catalog.load("params:seed"), trained))
    usual = {"regimen_1.train", "regimen_2.train"}
    assert seen == [(5, usual | {"focal_seed_1.train", "focal_seed_2.train"}), (of_files()["seed"], usual)]


@pytest.mark.slow
def test_nodes_get_options_of_the_type_that_they_are_annotated_with(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    bootstrap_project(project)
    with KedroSession.create(project_path=project, runtime_params={"evaluation": {"split": "test"}}) as session:
        catalog = session.load_context().catalog
        plan = build(changed("evaluation.split", "test"))
        assert catalog.load("params:evaluation") == plan.evaluation
        assert catalog.load("params:regimens.regimen_1") == plan.regimens["regimen_1"]
        assert catalog.load("params:morphology.segmenters.unet.name") == "unet"
        assert json.dumps(catalog.load("params:sources.synthetic.smears"))
