"""Train a shipped classifier of cells and judge it: at home on groups kept out, and on laboratories it never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.shipped.attribution import IMAGENET, SETS
from blood_kedro.library.shipped.bundle import bundle_of
from blood_kedro.library.shipped.type_cells import TypedCrops, bccd_white_cells, chula_cells, pbc_cells
from blood_kedro.library.shipped.type_figures import (
    answer_rows,
    at_threshold,
    eight_figures,
    five_figures,
    judged_by_laboratory,
    parents,
)
from blood_kedro.library.shipped.type_network import logits_by_torch, network_for
from blood_kedro.library.shipped.type_options import TypeModel, View
from blood_kedro.library.shipped.type_probabilities import log_probabilities, softened
from blood_kedro.library.shipped.type_scores import best_temperature, rolled_up, threshold_for
from blood_kedro.library.shipped.type_training import Lessons, TrainedTypes, fit_types
from blood_kedro.library.shipped.views import plain_view
from blood_kedro.library.training.predict import device_for, device_name
from blood_kedro.library.training.splits import split_groups

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
OnStep = Callable[[dict[str, float]], None]

_READERS: dict[str, Callable[[Path, View, RejectLog], TypedCrops]] = {
    "chula": chula_cells,
    "pbc": pbc_cells,
    "bccd": bccd_white_cells,
}


@dataclass(frozen=True)
class JudgedTypes:
    """A trained classifier, its answers on cells that it did not learn from, and what they are worth.

    `answers` has a row per cell of the validation and test parts: `cell_id, part, type, answer, sureness`.
    """

    bundle: ModelBundle
    answers: pd.DataFrame
    report: dict[str, Any]


def gather_types(raw_root: Path, options: TypeModel, rejects: RejectLog) -> TypedCrops:
    """Cells of all sources of a classifier.

    Raises:
        SourceNotFoundError: a source is missing.
    """
    parts = [_READERS[name](raw_root / name, options.recipe.view, rejects) for name in options.sources]
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return TypedCrops(np.concatenate([part.crops for part in parts]), table)


def meant_classes(types: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which classes each label allows, `(N, C)`: itself, what it is a kind of, and all kinds of it.

    Raises:
        ConfigurationError: a label allows none of the classes.
    """
    allowed = {t: [taxonomy.is_a(t, c) or taxonomy.is_a(c, t) for c in classes] for t in set(types)}
    homeless = sorted(t for t, row in allowed.items() if not any(row))
    if homeless:
        raise ConfigurationError("cells have types that are none of the classes", got=", ".join(homeless))
    return np.array([allowed[t] for t in types], np.bool_)


def train_and_judge(
    cells: TypedCrops, options: TypeModel, work_folder: Path, on_step: OnStep = lambda _: None
) -> JudgedTypes:
    """Train on most groups, calibrate on some, judge on the rest.

    Args:
        cells: of all sources.
        options: of the classifier.
        work_folder: for checkpoints.
        on_step: called with rows of the history.

    Raises:
        ConfigurationError: there are too few groups, or labels without a class.
    """
    train, val, test = parts_of(cells.table, options)
    meant = meant_classes(cells.table["type"].tolist(), options.classes)
    trained = fit_types(Lessons(cells.crops, meant, train), options.recipe, work_folder, on_step, options.compute)
    raw = {name: _answers(trained, cells, rows, options) for name, rows in (("val", val), ("test", test))}
    shares = log_shares(meant[train], options)
    temperature = best_temperature(raw["val"], meant[val], shares)
    logs = {name: softened(each, temperature, shares) for name, each in raw.items()}
    right = meant[val][np.arange(len(val)), logs["val"].argmax(axis=1)]
    threshold = threshold_for(right, np.exp(logs["val"].max(axis=1)), options.answered_accuracy)
    report: dict[str, Any] = {
        "cells": {"train": len(train), "val": len(val), "test": len(test)},
        "groups": {n: int(cells.table["group_id"].iloc[r].nunique()) for n, r in (("train", train), ("val", val))},
        "cpu_s": trained.cpu_s,
        "test": judged_by_laboratory(logs["test"], cells.table.iloc[test], options),
        "answered_at_threshold": at_threshold(logs["test"], meant[test], threshold),
    }
    if "chula" in options.sources:
        report["eight_shapes"] = eight_figures(logs["test"], cells.table.iloc[test], options)
    rows = {"val": val, "test": test}
    answers = pd.concat([answer_rows(cells.table.iloc[rows[n]], logs[n], options.classes, n) for n in rows])
    config = bundle_config(cells.table.iloc[train], cells.crops[train[:64]], options, temperature, threshold)
    config |= {"log_shares": None if shares is None else shares.tolist(), "trained_on": device_name(options.compute)}
    network = trained_network(trained, options)
    return JudgedTypes(bundle_of(network, {**config, "cpu_s": trained.cpu_s, "figures": report}), answers, report)


def log_shares(meant: npt.NDArray[np.bool_], options: TypeModel) -> Floats | None:
    """Of each class, log of how much commoner it is among training cells `meant (N, C)` than it was drawn.

    None where classes are to be as common as drawn. A cell counts evenly for all classes that its label allows; a class
    without cells counts as half a cell, so that it is rare and its log a number.
    """
    if options.common == "as_drawn":
        return None
    counts = (meant / meant.sum(axis=1, keepdims=True)).sum(axis=0)
    shares = np.maximum(counts, 0.5) / counts.sum()
    return np.asarray(options.recipe.balance * np.log(shares), np.float64)


def judge_left_out(
    cells: TypedCrops, options: TypeModel, laboratory: str, work_folder: Path, on_step: OnStep = lambda _: None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Figures and answers on a laboratory over the classes that all laboratories name, trained on all others alone.

    Only cells of these classes are learnt from. The temperature comes from the validation groups of the others.
    Arguments as of `train_and_judge`.
    """
    held_out = (cells.table["laboratory"] == laboratory).to_numpy()
    labels, groups = _labels_and_groups(cells.table)
    named = np.array([taxonomy.roll_up(t, options.five) is not None for t in cells.table["type"]])
    train, val = split_groups(np.flatnonzero(~held_out & named), labels, groups, options.val_share, options.seed)
    meant = meant_classes(cells.table["type"].tolist(), options.classes)
    trained = fit_types(Lessons(cells.crops, meant, train), options.recipe, work_folder, on_step, options.compute)
    raw = _answers(trained, cells, val, options)
    shares = log_shares(meant[train], options)
    temperature = best_temperature(raw, meant[val], shares)
    table = cells.table[held_out]
    logs = softened(_answers(trained, cells, np.flatnonzero(held_out), options), temperature, shares)
    report = {
        "laboratory": laboratory,
        "learnt_from": len(train),
        "cpu_s": trained.cpu_s,
        "temperature": temperature,
        **five_figures(logs, table, options),
    }
    among = rolled_up(logs, options.classes, options.five, parents(options.classes))
    return report, answer_rows(table, among, options.five, laboratory)


def judge_by_cell(
    cells: TypedCrops, options: TypeModel, work_folder: Path, on_step: OnStep = lambda _: None
) -> dict[str, Any]:
    """Report of a training whose parts were dealt by cell, as for the published figures of Chula.

    Cells of one picture stand on both sides, so it says less of new pictures. Arguments as of `train_and_judge`.
    """
    alone = TypedCrops(cells.crops, cells.table.assign(group_id=cells.table["cell_id"]))
    return train_and_judge(alone, options, work_folder, on_step).report


def parts_of(table: pd.DataFrame, options: TypeModel) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, to calibrate on and to judge by; groups stay whole and classes are spread evenly."""
    labels, groups = _labels_and_groups(table)
    rest, test = split_groups(np.arange(len(table)), labels, groups, options.test_share, options.seed)
    share = options.val_share / (1 - options.test_share)
    train, val = split_groups(rest, labels, groups, share, options.seed + 1)
    return train, val, test


def _labels_and_groups(table: pd.DataFrame) -> tuple[npt.NDArray[np.object_], Rows]:
    labels = (table["laboratory"] + "/" + table["type"]).to_numpy(object)
    return labels, np.asarray(pd.factorize(table["group_id"])[0], np.int64)


def _answers(trained: TrainedTypes, cells: TypedCrops, rows: Rows, options: TypeModel) -> Floats:
    seen = plain_view(cells.crops[rows], options.recipe.view)
    network = trained_network(trained, options).to(device_for(options.compute))
    return log_probabilities(logits_by_torch(network), seen, options.views)


def trained_network(trained: TrainedTypes, options: TypeModel) -> nn.Module:
    """The network with its averaged weights."""
    network = network_for(options.recipe, len(options.classes), trained.weights)
    network.load_state_dict(trained.weights)
    return network.eval()


def bundle_config(
    learnt: pd.DataFrame, first_crops: npt.NDArray[np.uint8], options: TypeModel, temperature: float, threshold: float
) -> dict[str, Any]:
    """What a model says of itself: classes, recipe, data, calibration, attribution."""
    return {
        "model": options.name,
        "classes": list(options.classes),
        "recipe": options.recipe.model_dump(mode="json"),
        "cell_px": options.recipe.view.cell_px,
        "views": options.views,
        "temperature": temperature,
        "threshold": threshold,
        "learnt_from": sorted(learnt["image_id"].unique()),
        "data": [*(SETS[name] for name in options.sources), IMAGENET],
        "data_fingerprint": table_fingerprint(learnt),
        "first_pixels": hashlib.sha256(np.ascontiguousarray(first_crops).tobytes()).hexdigest()[:16],
        "cells_by_type": {str(k): int(v) for k, v in learnt["type"].value_counts().sort_index().items()},
        "command": "make train-shipped RAW=<folder of the public sets>",
    }
