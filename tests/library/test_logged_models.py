"""Every kind of model is logged with an example that it takes, is served as it was logged, and says what it needs."""

from __future__ import annotations

import ast
import builtins
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from blood_kedro import tracking
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.counting.name import cell_types
from blood_kedro.library.detection.network import build_network as build_detector
from blood_kedro.library.detection.options import Network
from blood_kedro.library.morphology.networks import build_classifier, build_segmenter
from blood_kedro.library.overlap import networks as overlap
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.serving.table import FOLDER, SERVED, ModelKind, input_example, signature

CLASSES = ["rbc", "wbc", "platelet"]
# Of this project, and what MLflow adds to the requirements by itself.
OWN = {"blood_kedro", "mlflow"}


def detector() -> ModelBundle:
    options = Network(
        backbone="efficientnet_lite0_fpn", norm="frozen_batch", input_px=64, fpn_channels=16, representation=16,
        proposals_test=20, anchor_sizes_px=(8, 16, 32, 48, 64),
    )  # fmt: skip
    network = build_detector(options, len(CLASSES) + 1)
    regimen = {"network": options.model_dump(mode="json"), "augmentation": "none"}
    statistics = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "anchors_px": None}
    return ModelBundle(network.state_dict(), {"classes": CLASSES, "regimen": regimen, **statistics})


def cell_classifier() -> ModelBundle:
    weights = build_classifier("mobilenet_v3_small", 3).state_dict()
    return ModelBundle(weights, {"classes": CLASSES, "side_px": 40, "classifier": {"model": "mobilenet_v3_small"}})


def cell_segmenter() -> ModelBundle:
    weights = build_segmenter("resnet18", FirstWeights())[0].state_dict()
    return ModelBundle(weights, {"side_px": 40, "segmenter": {"encoder": "resnet18"}})


def overlap_classifier() -> ModelBundle:
    weights = overlap.build_network("base", 64).state_dict()
    config = {"classes": list(overlap.CLASSES["base"]), "side_px": 64, "study": {"network": "base"}}
    return ModelBundle(weights, config)


def kind_classifier() -> ModelBundle:
    weights = cell_types.build_network(len(CLASSES), 32, 0.0).state_dict()
    return ModelBundle(weights, {"kinds": CLASSES, "side_px": 32, "cutout_cell_px": 36, "normalised": False})


MODELS: dict[ModelKind, Callable[[], ModelBundle]] = {
    "detector": detector,
    "cell_classifier": cell_classifier,
    "cell_segmenter": cell_segmenter,
    "overlap_classifier": overlap_classifier,
    "kind_classifier": kind_classifier,
}


def test_the_table_has_every_kind_of_model() -> None:
    assert set(SERVED) == set(MODELS) == set(get_args(ModelKind))
    assert {served.script for served in SERVED.values()} == {
        path.name for path in FOLDER.glob("*.py") if "set_model(" in path.read_text()
    }


@pytest.fixture(scope="module")
def _tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs, models and the registry in a folder of their own."""
    folder = tmp_path_factory.mktemp("tracked")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'runs.db'}")
    try:
        mlflow.create_experiment("models", artifact_location=str(folder / "artifacts"))
        mlflow.set_experiment("models")
        yield
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.usefixtures("_tracked")
@pytest.mark.parametrize("kind", MODELS)
def test_a_registered_model_answers_for_its_own_example(
    kind: ModelKind, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    bundle = MODELS[kind]()
    monkeypatch.setattr(logging.getLogger("mlflow"), "propagate", True)
    with imports_of_ours() as imported:
        with mlflow.start_run(run_name=kind), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            tracking.log_model(kind, bundle)
        served = mlflow.pyfunc.load_model(f"models:/blood-kedro-{kind}/1")
        example = served.input_example
        answer = served.predict(example)
    assert [str(each.message) for each in warned if "hint" in str(each.message)] == []
    # Among them "Failed to validate serving input example": MLflow asks the model in the way its server does.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert example.shape[1:] == input_example(bundle.config).shape[1:]
    outputs = signature(kind, bundle.config).outputs
    if isinstance(answer, pd.DataFrame):
        assert answer.columns.tolist() == outputs.input_names()
        assert kind == "detector" or len(answer) == 1
    else:
        assert answer.shape == example.shape[:3]
    assert needed(kind, imported) <= set(SERVED[kind].requirements)


@pytest.mark.usefixtures("_tracked")
def test_a_picture_of_another_side_is_refused_with_both_sizes() -> None:
    with mlflow.start_run(run_name="kinds"):
        tracking.log_model("kind_classifier", kind_classifier())
    served = mlflow.pyfunc.load_model("models:/blood-kedro-kinds/1")
    with pytest.raises(mlflow.MlflowException, match=r"\(1, 96, 96, 3\).*\(-1, 32, 32, 3\)"):
        served.predict(np.zeros((1, 96, 96, 3), np.uint8))


@contextmanager
def imports_of_ours() -> Iterator[set[str]]:
    """Modules that code of this project asks for, while it is watched."""
    asked: set[str] = set()
    original = builtins.__import__

    def watched(name: str, globals: Any = None, *rest: Any, **more: Any) -> Any:  # noqa: A002 - as __import__ has it
        if str((globals or {}).get("__name__")).startswith("blood_kedro.library"):
            asked.add(name)
        return original(name, globals, *rest, **more)

    builtins.__import__ = watched
    try:
        yield asked
    finally:
        builtins.__import__ = original


def needed(kind: ModelKind, asked: set[str]) -> set[str]:
    """Packages that a script, what it imports when it is loaded, and what was asked for meanwhile come from."""
    outside, seen = set(asked), set()
    waiting = [FOLDER / SERVED[kind].script, *(path for name in asked if (path := file_of(name)))]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        names = imported_by(path, everywhere=path.parent == FOLDER)
        outside |= names
        waiting += [inner for name in names if (inner := file_of(name))]
    roots = {name.split(".")[0] for name in outside} - set(sys.stdlib_module_names) - OWN
    distributions = packages_distributions()
    return {distributions[root][0].lower().replace("_", "-") for root in roots}


def imported_by(path: Path, *, everywhere: bool) -> set[str]:
    """Names of modules that a file imports: when it is loaded, or `everywhere` in it."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if everywhere else tree.body
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def file_of(name: str) -> Path | None:
    """Of a module of this project."""
    if not name.startswith("blood_kedro."):
        return None
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:  # a function or class of a module
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)
