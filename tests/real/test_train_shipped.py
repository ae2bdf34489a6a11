"""`make train-shipped`, whole, on a few pictures of every laboratory and for a few steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.model_bundle import load_bundle
from blood_kedro.library.imaging.decode import size_of
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.shipped.cell_options import CLASSES, PictureOptions
from blood_kedro.library.shipped.cells import maps_of
from blood_kedro.library.shipped.load import load
from tests.conftest import PROJECT, copy_project
from tests.pipelines.runs import kedro_run, runs_of

pytestmark = pytest.mark.slow

FEW = ",".join(
    [
        "shipped.cells.recipe.steps=4,shipped.cells.recipe.batch=2,shipped.cells.recipe.window_px=192",
        "shipped.cells.compute.checkpoint_every=2",
        "shipped.cells.judging.limit=3,shipped.cells.judging.draws=20",
        *(f"shipped_types.{name}.recipe.steps=3" for name in ("red_cell_shapes", "white_cells")),
        *(f"shipped_types.{name}.recipe.batch=8" for name in ("red_cell_shapes", "white_cells")),
    ]
)


@pytest.fixture
def raw(shared_data: Path, tmp_path: Path) -> Path:
    """The first pictures of each laboratory, in the layout of their sets."""
    folder = tmp_path / "raw"

    def link(path: Path) -> None:
        there = folder / path.relative_to(shared_data)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(path.resolve())

    link(shared_data / "txl_pbc/classes.txt")
    taken: dict[str, int] = {}
    for image in sorted((shared_data / "txl_pbc/images").glob("*/*")):
        laboratory = PictureOptions().txl_laboratories.get("x".join(map(str, size_of(image))), "")
        if (taken_here := taken.get(laboratory, 0)) < 10:
            taken[laboratory] = taken_here + 1
            link(image)
            link(shared_data / "txl_pbc/labels" / image.parent.name / f"{image.stem}.txt")
    fullest = sorted((shared_data / "chula/Label").glob("*.txt"), key=lambda path: -path.stat().st_size)
    for label in fullest[:20]:
        link(label)
        link(next((shared_data / "chula/Dataset").glob(f"{label.stem}.*")))
    for kind in sorted((shared_data / "pbc").glob("*/*")):
        for image in sorted(kind.iterdir())[:12]:
            link(image)
    link(shared_data / "bccd/wbc_types.csv")
    for part in ("train", "val", "test"):
        link(shared_data / f"bccd/BCCD/ImageSets/Main/{part}.txt")
    typed = pd.read_csv(shared_data / "bccd/wbc_types.csv")
    for name in typed.groupby("types").head(6)["image"]:
        link(shared_data / f"bccd/BCCD/JPEGImages/{name}.jpg")
        link(shared_data / f"bccd/BCCD/Annotations/{name}.xml")
    return folder


def train(folder: Path, raw: Path) -> str:
    """What the command of the Makefile says while it runs."""
    command = re.search(r"^train-shipped:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert command is not None
    options = re.findall(r"--[\w-]+=[\w,.]+", command.group(1))
    assert options[0] == "--pipelines=shipped_models"
    done = kedro_run(folder, *options, "--params", FEW, raw=raw)
    return done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_all_three_are_trained_judged_and_can_be_loaded(raw: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    said = train(folder, raw)
    assert "WARNING" not in said and "Warning" not in said
    models, results = folder / "data/06_models", folder / "data/07_model_output/shipped"
    cells = load_bundle(models / "cells_all")
    assert cells.config["classes"] == list(CLASSES)
    assert cells.config["command"].startswith("make train-shipped")
    assert set(cells.config["thresholds"]) == set(CLASSES)
    middles, _ = maps_of(cells)(np.zeros((1, 3, 64, 96), np.float32))
    assert middles.shape == (1, 3, 16, 24)
    assert pd.read_csv(models / "cells_all_history.csv")["step"].tolist() == [2, 4]
    scores = pd.read_csv(results / "cells_all_scores.csv")
    # Of so few pictures, a laboratory may have none that is kept for judging; BCCD has its official test list.
    assert {"bccd_own"} < set(scores["laboratory"]) <= {"bccd", "bccd_own", "pbc", "raabin", "chula"}
    assert scores["ap_50"].dropna().between(0, 1).all()
    assert cells.config["test_pictures"] and cells.config["pictures"]
    field = read_rgb(next((raw / "bccd/BCCD/JPEGImages").iterdir()))
    boxes = np.array([[200.0, 150.0, 300.0, 250.0], [20.0, 20.0, 120.0, 120.0]])
    for name in ("red_cell_shapes", "white_cells"):
        report = json.loads((folder / f"data/08_reporting/shipped/{name}.json").read_text())
        assert report["test"]
        named = load(name, models).predict(field, boxes, 103.5)
        assert len(named) == 2
    names = {run.data.tags["mlflow.runName"] for run in runs_of(folder)}
    assert {"cells_all", "red_cell_shapes", "white_cells"} <= names
