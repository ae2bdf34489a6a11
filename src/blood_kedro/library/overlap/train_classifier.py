"""Train one classifier on weak labels, and let it answer for the test crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torchvision.transforms import v2

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for, table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.overlap.networks import CLASSES, build_network, load_network
from blood_kedro.library.overlap.options import OverlapClassifier
from blood_kedro.library.overlap.rules import ABSTAIN
from blood_kedro.library.training.crops import CropData, flips, unlabelled
from blood_kedro.library.training.losses import ClassWeighted, class_weights
from blood_kedro.library.training.predict import outputs
from blood_kedro.library.training.splits import RowsByPart
from blood_kedro.library.training.supervised import fit_supervised

Floats = npt.NDArray[np.float64]


def train_classifier(
    cells: CropSet,
    table: pd.DataFrame,
    said: pd.DataFrame,
    labels: pd.DataFrame,
    classifier: OverlapClassifier,
    work_folder: Path,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> tuple[ModelBundle, pd.DataFrame, pd.DataFrame]:
    """Train, and predict the test crops.

    Args:
        cells: crops.
        table: of schema `OverlapCrops`, row for row with `cells`.
        said: votes of the rules.
        labels: of the label model.
        classifier: settings.
        work_folder: keeps the checkpoints; emptied at the end.
        on_epoch: told each history row.

    Returns:
        The model; one row per test crop with `cell_id, image_id, group_id, true_cells`, the weak label that the
        classifier learns from (`label`, probability of overlap), `overlapping`, and `p_<class>`; and one history row
        per epoch.

    Raises:
        ConfigurationError: the labels of the training crops are all of one class, or there are none.
    """
    wanted = targets(said, labels, classifier)
    parts = split(table, wanted, classifier)
    _check_classes(wanted[parts.train], classifier)
    seed = seed_for(classifier.seed, "overlap")
    train = CropData(cells.crops, parts.train, wanted, seed, _augmentation(classifier))
    val = CropData(cells.crops, parts.val, wanted, seed)
    torch.manual_seed(seed)
    network = build_network(classifier.network, cells.side_px)
    meant = torch.from_numpy(wanted[parts.train])
    weight = class_weights(meant.sum(dim=0), len(meant)) if classifier.class_weighted else None
    data = table_fingerprint(table)
    trained = fit_supervised(
        network,
        nn.CrossEntropyLoss() if weight is None else ClassWeighted(weight),
        train,
        val,
        classifier.training,
        seed=seed,
        val_loss=nn.CrossEntropyLoss(),
        identity=[to_plain(classifier.recipe), data, wanted.tolist()],
        work_folder=work_folder,
        compute=classifier.compute,
        on_epoch=on_epoch,
        name=classifier.name,
    )
    config = {
        "study": classifier.model_dump(mode="json"),
        "classes": list(CLASSES[classifier.network]),
        "side_px": cells.side_px,
        "data_fingerprint": data,
        "train_crops": len(parts.train),
        "val_crops": len(parts.val),
        "test_crops": len(parts.test),
        "best_epoch": trained.best_epoch,
    }
    bundle = ModelBundle(trained.weights, config)
    answers = answer(bundle, np.asarray(cells.crops[parts.test]))
    known = table.iloc[parts.test][["cell_id", "image_id", "group_id", "true_cells"]].reset_index(drop=True)
    known["label"] = 1 - wanted[parts.test][:, 0].astype(np.float64)
    return bundle, pd.concat([known, answers], axis=1), pd.DataFrame(trained.history)


def _augmentation(classifier: OverlapClassifier) -> v2.Transform | None:
    """What is done to the training crops, anew in each epoch."""
    steps = [flips()] if classifier.flips else []
    steps += [v2.GaussianNoise(sigma=classifier.noise)] if classifier.noise else []
    return v2.Compose(steps) if steps else None


def answer(bundle: ModelBundle, crops: npt.NDArray[np.uint8]) -> pd.DataFrame:
    """What a classifier says of crops `(N, S, S, 3) uint8`.

    Columns: `overlapping`, the probability that the red cell in the middle touches or overlaps another, and `p_<class>`
    of each class.
    """
    classes = bundle.config["classes"]
    logits = [np.zeros((0, len(classes)))]
    logits += [batch.softmax(dim=1).numpy() for batch in outputs(load_network(bundle), unlabelled(crops))]
    probabilities = np.concatenate(logits).astype(np.float64)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    table.insert(0, "overlapping", 1 - probabilities[:, 0])
    return table


def targets(said: pd.DataFrame, labels: pd.DataFrame, classifier: OverlapClassifier) -> npt.NDArray[np.float32]:
    """What the network should answer for each crop, `(N, C)`; NaN where the labels say nothing.

    A single rule says 0 or 1; for the counting network, its overlapping cells are spread as the label model has it.
    """
    if classifier.labels == "combined":
        overlapping = labels["overlapping"].to_numpy(np.float64)
    else:
        votes = said[classifier.labels].to_numpy()
        overlapping = np.where(votes == ABSTAIN, np.nan, votes.astype(np.float64))
    if classifier.network != "counting":
        return np.stack([1 - overlapping, overlapping], axis=1).astype(np.float32)
    several = labels[[name for name in CLASSES["counting"] if name != "cells_1"]].to_numpy(np.float64)
    total = several.sum(axis=1, keepdims=True)
    two = np.eye(1, several.shape[1])
    shares = np.where(np.nan_to_num(total) > 0, several / np.maximum(total, 1e-12), two)
    return np.concatenate([1 - overlapping[:, None], overlapping[:, None] * shares], axis=1).astype(np.float32)


def split(table: pd.DataFrame, wanted: npt.NDArray[np.float32], classifier: OverlapClassifier) -> RowsByPart:
    """Rows of each part that have a label (test crops also without).

    `sample: paper` draws as few crops as Gurav et al. 2025 had, by crop; its epochs are fixed, so the training crops
    stand in for validation and nothing is chosen on the test crops.

    Raises:
        ConfigurationError: a part is empty.
    """
    known = ~np.isnan(wanted).any(axis=1)
    if classifier.sample == "paper":
        count, held_out = classifier.sample_size
        drawn = np.random.default_rng(seed_for(classifier.seed, "sample")).permutation(np.flatnonzero(known))[:count]
        if len(drawn) < count:
            raise ConfigurationError(
                "too few labelled crops for the sample of Gurav et al. 2025",
                where=f"overlap.classifiers.{classifier.name}.sample_size",
                got=str(len(drawn)),
                expected=str(count),
                remedy="give more images, or set sample: all",
            )
        return RowsByPart(drawn[held_out:], drawn[held_out:], drawn[:held_out])
    parts = table["part"].to_numpy()
    rows = RowsByPart(
        *(np.flatnonzero((parts == name) & (known | (name == "test"))) for name in ("train", "val", "test"))
    )
    for name in ("train", "val", "test"):
        if not len(getattr(rows, name)):
            raise ConfigurationError(
                f"no labelled crop in part {name}",
                where=f"overlap.classifiers.{classifier.name}",
                remedy="give more images, or rules that abstain less",
            )
    return rows


def _check_classes(wanted: npt.NDArray[np.float32], classifier: OverlapClassifier) -> None:
    single = wanted[:, 0] > 0.5
    if single.all() or not single.any():
        raise ConfigurationError(
            "all training crops have the same weak label, so there is nothing to learn",
            where=f"overlap.classifiers.{classifier.name}: labels {classifier.labels}",
            got=f"{len(single)} crops, all {'single' if single.all() else 'overlapping'}",
            remedy="choose other rules or thresholds, or a source with both kinds",
        )
