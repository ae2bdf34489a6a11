"""Train the U-Net of Elmanna et al. 2024 on cells with masks, measure it, and apply it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor, nn

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import all_learnt_from
from blood_kedro.library.core.hashing import seed_for, table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, load_config
from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.evaluation.classification import pixel_measures
from blood_kedro.library.evaluation.resampling import (
    SLIDES,
    Floats,
    Intervals,
    intervals,
    numbered,
    ratio,
    sums_by_group,
)
from blood_kedro.library.morphology.networks import build_segmenter, load_segmenter
from blood_kedro.library.morphology.options import Segmenter
from blood_kedro.library.morphology.splits import FirstStage, Fold, segmentation_split
from blood_kedro.library.training.crops import CropData, CropMasks, Crops, flips, in_order
from blood_kedro.library.training.options import USUAL_COMPUTE, Compute
from blood_kedro.library.training.predict import device_for, outputs
from blood_kedro.library.training.supervised import fit_supervised

logger = logging.getLogger(__name__)

_BATCH = 128


@dataclass(frozen=True)
class TrainedSegmenter:
    """The trained U-Net, one history row per epoch, and its measures on the test cells, which `test` names by row."""

    model: ModelBundle
    history: list[dict[str, float]]
    metrics: dict[str, Any]
    test: list[int]


class _Loss(nn.Module):
    """Cross-entropy of pixels plus Dice: the first keeps the gradient smooth, the second looks at the overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss("binary")

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Mean over the batch."""
        entropy = nn.functional.binary_cross_entropy_with_logits(logits.float(), masks)
        dice: Tensor = self.dice(logits.float(), masks)
        return entropy + dice


def train_segmenter(
    cells: CropSet, options: Segmenter, work_folder: Path, on_epoch: Callable[[dict[str, float]], None] = lambda _: None
) -> TrainedSegmenter:
    """Train on cells with masks, stop by the validation loss, and measure on groups that were never seen.

    Raises:
        ConfigurationError: too few cells have masks, or too few groups to split them.
        WeightsNotFoundError: the first weights cannot be had.
    """
    known = np.flatnonzero(cells.table["has_mask"].to_numpy())
    if len(known) < 3:
        raise ConfigurationError(
            "too few cells with masks", where=f"segmenter: source {options.source}", got=str(len(known)), expected="3"
        )
    table = cells.table.iloc[known].reset_index(drop=True)
    run = segmentation_split(table, options)
    groups_of = _groups(table, run, options)
    seed = seed_for(options.seed, "segmenter")
    train = CropData(cells.crops, known[run.train], cells.masks, seed, flips())
    val = CropData(cells.crops, known[run.val], cells.masks, seed)
    torch.manual_seed(seed)
    network, origin = build_segmenter(options.encoder, options.first_weights)
    start = load_config(Path(str(options.first_weights.path))) if options.first_weights.kind == "checkpoint" else None
    trained = fit_supervised(
        network,
        _Loss(),
        train,
        val,
        options.training,
        seed=seed,
        identity=[to_plain(options.recipe), table_fingerprint(table)],
        work_folder=work_folder,
        compute=options.compute,
        on_epoch=on_epoch,
        name=options.name,
    )
    test = known[run.test]
    predicted = predict_masks(network.to(device_for(options.compute)), cells.crops, test)
    truth = np.asarray(cells.masks[test])
    where = cells.table.iloc[test]
    pixel_intervals = _intervals(truth, predicted, where, options.resamples, options.seed)
    metrics = {
        **pixel_measures(truth, predicted),
        "interval_95": pixel_intervals.limits,
        "interval_basis": pixel_intervals.basis,
        "train_cells": len(train),
        "val_cells": len(val),
        "test_cells": len(test),
        "test_groups": groups_of["test"],
        "groups": groups_of,
        "missing": list(run.missing),
        "weights_origin": origin,
        "best_epoch": trained.best_epoch,
    }
    config = {
        "segmenter": options.model_dump(mode="json"),
        "side_px": cells.side_px,
        "weights_origin": origin,
        "groups": groups_of,
        "learnt_from": all_learnt_from(table["image_id"].iloc[np.concatenate([run.train, run.val])], start),
    }
    return TrainedSegmenter(ModelBundle(trained.weights, config), trained.history, none_for_nan(metrics), test.tolist())


def _groups(table: pd.DataFrame, run: Fold, options: Segmenter) -> dict[str, list[str]]:
    """Groups of each part, and (`before`) those that the first weights learnt from.

    Raises:
        ConfigurationError: the first weights learnt from groups that are to be tested on.
    """
    parts = {"train": run.train, "val": run.val, "test": run.test}
    groups = {part: sorted(set(table["group_id"].to_numpy()[rows])) for part, rows in parts.items()}
    started = options.first_weights.kind == "checkpoint"
    groups["before"] = (
        sorted(FirstStage.of(load_bundle(Path(str(options.first_weights.path)))).learnt) if started else []
    )
    both = sorted(set(groups["before"]) & set(groups["test"]))
    if both:
        raise ConfigurationError(
            "the first weights learnt from slides that are to be tested on",
            where=f"segmenter {options.name}: weights",
            got=", ".join(both),
            remedy="name other test_groups, or start from other weights",
        )
    return groups


def predict_masks(network: nn.Module, crops: Crops, rows: np.ndarray[Any, np.dtype[np.int64]]) -> CropMasks:
    """Masks `(len(rows), S, S) bool` of crops, the cell's probability above one half."""
    data = CropData(crops, rows, np.zeros(len(crops), np.int64), 0)
    masks = (logits[:, 0] > 0 for logits in outputs(network, in_order(data, _BATCH)))
    parts = [np.zeros((0, *crops.shape[1:3]), np.bool_), *(mask.numpy() for mask in masks)]
    return np.concatenate(parts)


def complete_masks(
    bundle: ModelBundle | None,
    cells: CropSet,
    masks: Literal["given", "predicted"] = "given",
    compute: Compute = USUAL_COMPUTE,
) -> CropMasks:
    """The given mask of each cell and the U-Net's where none is given, or (`predicted`) the U-Net's for all.

    Mapped masks that are all given are handed on as they are. A cell without any outline is shown whole (black would
    say nothing); how many there are is logged.
    """
    unknown = np.flatnonzero(~cells.table["has_mask"].to_numpy() | (masks == "predicted"))
    if not len(unknown):
        return cells.masks
    shown = np.array(cells.masks)
    if bundle is not None:
        network = load_segmenter(bundle).to(device_for(compute))
        shown[unknown] = predict_masks(network, cells.crops, unknown)
    empty = unknown[~shown[unknown].any(axis=(1, 2))]
    if len(empty):
        logger.warning("%d of %d cells have no outline and are shown whole", len(empty), len(cells))
    shown[empty] = True
    return shown


def _intervals(truth: CropMasks, predicted: CropMasks, where: pd.DataFrame, resamples: int, seed: int) -> Intervals:
    """95% intervals of the pooled IoU and F1, over slides; over the images of the slide where there is one alone."""
    several = len(set(where["group_id"])) > 1
    unit = SLIDES if several else "images of one slide: other slides may differ by more"
    numbers, count = numbered(where["group_id" if several else "image_id"])
    both, either = (truth & predicted).sum(axis=(1, 2)), (truth | predicted).sum(axis=(1, 2))
    sums = sums_by_group([both, either], numbers, count)

    def statistic(weights: Floats) -> Floats:
        shared, joined = (weights @ sums).T
        return np.stack([ratio(shared, joined), ratio(2 * shared, joined + shared)], axis=1)

    return intervals(statistic, ("iou", "f1"), count, unit=unit, resamples=resamples, seed=seed)
