"""Pipelines are functions of the plan, of templates in namespaces; Kedro has nothing to warn of."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from kedro.pipeline import Pipeline

from blood_kedro import pipelines
from blood_kedro.environments import plan_of_files
from blood_kedro.pipeline_registry import register_pipelines
from blood_kedro.plan import Plan
from tests.conftest import PROJECT, copy_project
from tests.pipelines.runs import environment

ENVIRONMENTS = ("base", "laptop", "paper", "bccd")
FOLDERS = sorted(path.parent for path in Path(pipelines.__path__[0]).glob("*/pipeline.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_pipeline_is_a_function_of_the_plan(folder: Path) -> None:
    create_pipeline = import_module(f"{pipelines.__name__}.{folder.name}").create_pipeline
    assert list(inspect.signature(create_pipeline).parameters) == ["plan"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_nodes_are_written_without_namespaces(folder: Path) -> None:
    """`Pipeline(template, namespace=...)` puts dots into names of datasets; a node has none of its own."""
    for node in _calls_of("Node", ast.parse((folder / "pipeline.py").read_text())):
        assert "namespace" not in {keyword.arg for keyword in node.keywords}, ast.unparse(node)
        for datasets in node.args[1:3]:
            assert not [text for text in _texts(datasets) if "." in text and not text.startswith("params:")], (
                ast.unparse(node)
            )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_kedro_has_nothing_to_warn_of(name: str) -> None:
    """Nor of a namespace that is left and entered again. One warning is Kedro's own (settings.py)."""
    plan = plan_of_files(PROJECT, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=r".*dataset names contain '\.' characters")
        made = register_pipelines(plan)
    assert all(isinstance(each, Pipeline) for each in made.values())


def test_a_folder_registers_itself() -> None:
    assert {*register_pipelines(Plan.model_validate(_ONE_SOURCE))} == {"__default__", *(each.name for each in FOLDERS)}


# What Lightning says of itself when a trainer is made; INFO: is how its own handler writes.
TALK = re.compile(r"Tip|GPU available|TPU available|HPU available|^INFO:|stopped: `max_epochs")


@pytest.mark.slow
def test_a_run_warns_of_nothing(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    """Nor does a training, and a model that is logged to be served."""
    few = (
        "sources.synthetic.smears.slides=2,sources.synthetic.smears.fields_per_slide=1,"
        "morphology.cells.synthetic.per_class=12,morphology.cells.synthetic.slides=6,"
        "morphology.segmenters.unet.training.epochs=1,morphology.segmenters.unet.resamples=5"
    )
    what = ["--pipelines=ingestion,rbc_morphology", "--to-outputs=synthetic.image_index,unet.metrics", "--params", few]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "kedro", "run", *what],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    output = done.stdout + done.stderr
    # An error of the filter above is not enough: MLflow sets one of its own, by which a warning is only shown.
    assert [line for line in output.splitlines() if "Warning" in line or "ype hint" in line] == []
    assert [line for line in output.splitlines() if TALK.search(line)] == []


_ONE_SOURCE = {
    "sources": {"bccd": {"name": "bccd", "adapter": "bccd"}},
    "shipped": {"cells": {"trainings": {"cells_all": {"name": "cells_all"}}}},
}


def _calls_of(name: str, tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _texts(tree: ast.AST) -> Iterator[str]:
    """Texts in an expression; of an f-string all its constant parts, joined."""
    if isinstance(tree, ast.JoinedStr):
        yield "".join(str(part.value) for part in tree.values if isinstance(part, ast.Constant))
    elif isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    else:
        for child in ast.iter_child_nodes(tree):
            yield from _texts(child)
