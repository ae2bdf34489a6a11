"""Nodes of the shipped cell detector: they adapt the catalog and MLflow to `library/shipped`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.shipped.cell_options import (
    CLASSES,
    CellCompute,
    CellJudging,
    CellRecipe,
    CellTraining,
    PictureOptions,
)
from blood_kedro.library.shipped.pictures import LabelledPicture  # Kedro reads the annotations of nodes


def gather_pictures(raw_root: Path, pictures: PictureOptions) -> tuple[list[LabelledPicture], pd.DataFrame]:
    """Labelled pictures of every laboratory at one width of a red cell."""
    from blood_kedro.library.shipped.pictures import gather

    rejects = RejectLog("shipped")
    return gather(raw_root, pictures, rejects), conform(Rejects, rejects.rows)


def train(
    shipped_pictures: list[LabelledPicture],
    common: CellRecipe,
    training: CellTraining,
    pictures: PictureOptions,
    judging: CellJudging,
    work_folder: Path,
    compute: CellCompute,
) -> tuple[ModelBundle, pd.DataFrame, str]:
    """Train the detector without some laboratories, in an MLflow child run of its own."""
    from blood_kedro.library.core.plain_options import to_plain
    from blood_kedro.library.shipped.bundle import bundle_of
    from blood_kedro.library.shipped.cell_scores import counting_thresholds, parts_of
    from blood_kedro.library.shipped.networks import cell_maps
    from blood_kedro.library.shipped.pictures import fingerprint_of, learnt_from
    from blood_kedro.library.shipped.train_cells import train_cells
    from blood_kedro.library.training.predict import device_name

    left_out = list(training.left_out)
    recipe = training.recipe_of(common)
    parts = parts_of(learnt_from(shipped_pictures, frozenset(left_out)), judging)
    with tracking.child_run(training.name, "cells") as run_id:
        tracking.log_parameters({**recipe.model_dump(mode="json"), "left_out": left_out, "pictures": len(parts.train)})
        tracking.log_data("labelled pictures", fingerprint_of(parts.train), "training")
        network, history = train_cells(
            parts.train,
            recipe,
            work_folder / "training.pt",
            lambda step, row: tracking.log_metrics(row, step=step),
            compute,
        )
    maps = cell_maps(network.state_dict(), len(CLASSES), recipe.channels, training.name)
    config = {
        "model": "cells",
        "name": training.name,
        "classes": list(CLASSES),
        "cell_px": pictures.cell_px,
        "recipe": to_plain(recipe),
        "left_out": left_out,
        "pictures": len(parts.train),
        "data_fingerprint": fingerprint_of(parts.train),
        "test_pictures": [each.image_id for each in parts.test],
        "thresholds": counting_thresholds(maps, parts.calibration),
        "cpu_s": history[-1]["cpu_s"],
        "trained_on": device_name(compute),
        "command": "make train-shipped RAW=<folder of the public sets>",
    }
    return bundle_of(network, config), pd.DataFrame(history), run_id


def judge_cells(
    model: ModelBundle, shipped_pictures: list[LabelledPicture], judging: CellJudging, run_id: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the tables: on the laboratories that were left out; of the final model, on groups kept from it."""
    from blood_kedro.library.shipped.cell_scores import score_laboratories
    from blood_kedro.library.shipped.cells import maps_of

    scores, scales = score_laboratories(maps_of(model), shipped_pictures, model.config, judging)
    with tracking.reopened(run_id):
        tracking.log_metrics(
            {f"{r['laboratory']}_{r['class']}_{r['scale']}_ap_50": r["ap_50"] for r in scores.to_dict("records")}
        )
    return scores, scales


def join_scores(*parts: pd.DataFrame) -> pd.DataFrame:
    """One table of all trainings."""
    return pd.concat(parts, ignore_index=True)


def ship_cells(model: ModelBundle, scores: pd.DataFrame, scales: pd.DataFrame) -> ModelBundle:
    """The model trained on all, with the figures of those that were left out and where the pictures come from."""
    from blood_kedro.library.shipped.attribution import CELLS

    figures = {"scores": scores.to_dict("records"), "scales": scales.to_dict("records")}
    config: dict[str, Any] = {**model.config, "figures": figures, "data": CELLS}
    return ModelBundle(model.weights, config)
