"""Train the classifier of cutouts as Rao et al. 2024 do (Tables 1 to 4): split, tenfold white cells, search, test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import all_learnt_from
from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.counting.name.cell_types import probabilities
from blood_kedro.library.counting.name.fit import TrainedKinds, fit_kinds
from blood_kedro.library.counting.name.splits import missing, splits
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier
from blood_kedro.library.evaluation.classification import RunAnswers, classification_measures, group_intervals
from blood_kedro.library.training.splits import Indices, RowsByPart

Cutouts = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TrainedClassifier:
    """Classifier, answers on the test cutouts, one row per combination that was tried, history, and measures."""

    model: ModelBundle
    answers: pd.DataFrame
    search: pd.DataFrame
    history: pd.DataFrame
    metrics: dict[str, Any]


def train_kinds(
    cutouts: Sequence[CropSet],
    made_with: CutoutOptions,
    options: KindClassifier,
    work_folder: Path,
    start: ModelBundle | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> TrainedClassifier:
    """Search, train and test.

    The values of `options.search` are chosen by the validation cutouts of the first split; every split is then trained
    with the best. The model is that of the first split.

    Args:
        cutouts: sets of cutouts, all of one size.
        made_with: how they, or the first set of them, were made.
        options: of the classifier.
        work_folder: keeps checkpoints; emptied at the end.
        start: whose weights are fine-tuned; None starts from random ones.
        on_epoch: called with each history row of the last trainings.

    Raises:
        ConfigurationError: a kind has too few cutouts, or sizes differ.
    """
    table, pixels = _gathered(cutouts, options)
    labels = _positions(table["label"], options)
    dealt = splits(table, options)
    identity = [to_plain(options.recipe), table_fingerprint(table)]

    def train(
        split: RowsByPart, values: dict[str, Any], name: str, log: Callable[[dict[str, float]], None]
    ) -> TrainedKinds:
        return fit_kinds(pixels, labels, split, values, options, start, [*identity, name], work_folder, log)

    tried, best = _searched(dealt[0], options, train, pixels, labels)
    answers, histories, models = [], [], []
    for number, split in enumerate(dealt, start=1):
        trained = train(split, best, f"split_{number}", on_epoch if number == 1 else lambda _: None)
        known = table.iloc[split.test][["cell_id", "group_id", "label"]].reset_index(drop=True)
        shares = probabilities(trained.network, pixels[split.test])
        answers.append(
            pd.concat([known, pd.DataFrame(shares, columns=[f"p_{kind}" for kind in options.kinds])], axis=1)
        )
        histories.append(pd.DataFrame(trained.history).assign(split=number))
        models.append(trained)
    table_3 = _predictions_by_part(models[0].network, pixels, labels, dealt[0], models[0].trained_on, options)
    said = pd.concat(answers, ignore_index=True)
    metrics = {
        **_measured(said, options),
        "splits": len(dealt),
        "best": best,
        "parts": table_3,
        "missing_from_parts": missing(table, dealt, options),
        "cutouts": table["label"].value_counts().to_dict(),
        "search_space": options.search.model_dump(mode="json"),
        "weights_origin": "random weights" if start is None else f"fine-tuned from {start.config['name']}",
        "data_fingerprint": table_fingerprint(table),
    }
    config = {
        "name": options.name,
        "kinds": list(options.kinds),
        "side_px": int(pixels.shape[1]),
        "cutout_cell_px": made_with.cutout_cell_px,
        "normalised": made_with.normalise and made_with.reader == "segmented",
        "classifier": options.model_dump(mode="json"),
        "weights_origin": metrics["weights_origin"],
        "data_fingerprint": metrics["data_fingerprint"],
        "learnt_from": all_learnt_from(
            table["image_id"].iloc[np.concatenate([dealt[0].train, dealt[0].val])],
            None if start is None else start.config,
        ),
    }
    model = ModelBundle(models[0].network.state_dict(), config)
    return TrainedClassifier(model, said, tried, pd.concat(histories, ignore_index=True), none_for_nan(metrics))


def _positions(labels: pd.Series, options: KindClassifier) -> Indices:
    places = {kind: k for k, kind in enumerate(options.kinds)}
    return np.asarray([places[label] for label in labels], np.int64)


def _gathered(cutouts: Sequence[CropSet], options: KindClassifier) -> tuple[pd.DataFrame, Cutouts]:
    sides = {cells.side_px for cells in cutouts}
    if len(sides) != 1:
        raise ConfigurationError(
            "sets of cutouts differ in size",
            where=f"classifier {options.name}: cutouts",
            got=str(sorted(sides)),
            remedy="give them one side_px under sam_counting.cutouts",
        )
    has_kind = [cells.table["label"].isin(options.kinds).to_numpy() for cells in cutouts]
    table = pd.concat([cells.table[mine] for cells, mine in zip(cutouts, has_kind, strict=True)], ignore_index=True)
    few = [kind for kind in options.kinds if (table["label"] == kind).sum() < 3]
    if few:
        raise ConfigurationError(
            f"fewer than 3 cutouts of {', '.join(few)}",
            where=f"classifier {options.name}",
            got=str(table["label"].value_counts().to_dict()),
            remedy="add cutouts, or leave the kind out of kinds",
        )
    return table, np.concatenate([np.asarray(c.crops)[mine] for c, mine in zip(cutouts, has_kind, strict=True)])


def _searched(
    split: RowsByPart,
    options: KindClassifier,
    train: Callable[[RowsByPart, dict[str, Any], str, Callable[[dict[str, float]], None]], TrainedKinds],
    pixels: Cutouts,
    labels: Indices,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Every combination with its validation accuracy and loss, and the best one (accuracy first, then loss)."""
    space = options.search.model_dump()
    combinations = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    if len(combinations) == 1:
        return pd.DataFrame([{**combinations[0], "val_accuracy": np.nan, "val_loss": np.nan}]), combinations[0]
    rows = []
    for number, values in enumerate(combinations, start=1):
        trained = train(split, values, f"search_{number}", lambda _: None)
        right = probabilities(trained.network, pixels[split.val]).argmax(axis=1) == labels[split.val]
        rows.append({**values, "val_accuracy": float(right.mean()), "val_loss": trained.val_loss})
    tried = pd.DataFrame(rows).sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    return tried.reset_index(drop=True), combinations[int(tried.index[0])]


def _predictions_by_part(
    network: nn.Module,
    pixels: Cutouts,
    labels: Indices,
    split: RowsByPart,
    trained_on: dict[str, int],
    options: KindClassifier,
) -> list[dict[str, Any]]:
    """Cutouts of each part, before augmentation, and what the classifier calls them (Tables 3 and 4)."""
    rows = []
    for part in ("train", "val", "test"):
        mine: Indices = getattr(split, part)
        predicted = np.bincount(probabilities(network, pixels[mine]).argmax(axis=1), minlength=len(options.kinds))
        right = float((probabilities(network, pixels[mine]).argmax(axis=1) == labels[mine]).mean())
        labelled = np.bincount(labels[mine], minlength=len(options.kinds))
        row: dict[str, Any] = {"part": part, "accuracy": right}
        for k, kind in enumerate(options.kinds):
            row |= {kind: int(labelled[k]), f"predicted_{kind}": int(predicted[k])}
            if part == "train":
                row[f"{kind}_after_augmentation"] = trained_on[kind]
        rows.append(row)
    return rows


def _measured(answers: pd.DataFrame, options: KindClassifier) -> dict[str, Any]:
    truth = _positions(answers["label"], options)
    kind_probabilities = answers[[f"p_{kind}" for kind in options.kinds]].to_numpy(np.float64)
    groups = answers["group_id"].to_numpy(object)
    answer = RunAnswers(truth, kind_probabilities.argmax(axis=1).astype(np.int64), groups)
    accuracy_intervals = group_intervals(
        [answer],
        len(options.kinds),
        unit="tiles, or images that show the same field",
        resamples=options.resamples,
        seed=options.seed,
    )
    return {
        **classification_measures(truth, kind_probabilities, options.kinds),
        "interval_95": accuracy_intervals.limits,
        "interval_basis": accuracy_intervals.basis,
        "test_cutouts": len(answers),
        "test_groups": int(answers["group_id"].nunique()),
    }
