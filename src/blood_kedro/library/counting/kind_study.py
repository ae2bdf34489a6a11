"""Train the classifier of cutouts as paper 004 does: split, tenfold white cells, grid search, test (Tables 1 to 4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torchvision.transforms import v2

from blood_kedro.library.core.cells import Cells
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import all_learnt_from
from blood_kedro.library.core.hashing import seed_for, table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.core.schemas import SPLITS
from blood_kedro.library.counting.kinds import build_network, probabilities
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier
from blood_kedro.library.evaluation.classification import RunAnswers, classification_measures, group_intervals
from blood_kedro.library.training.crops import CropData, Turn
from blood_kedro.library.training.splits import Indices, fold_groups, missing_from_parts, split_groups
from blood_kedro.library.training.supervised import fit_supervised

Cutouts = npt.NDArray[np.uint8]
# Paper 004, section 3.4: 75:15:10. Images of sources have the parts of the table of groups instead.
_VAL, _TEST = 0.15, 0.10


@dataclass(frozen=True)
class Split:
    """Rows to train on, to choose by, and to test on."""

    train: Indices
    val: Indices
    test: Indices


@dataclass(frozen=True)
class Study:
    """Classifier, answers on the test cutouts, one row per combination that was tried, history, and measures."""

    model: ModelBundle
    answers: pd.DataFrame
    search: pd.DataFrame
    history: pd.DataFrame
    metrics: dict[str, Any]


def train_kinds(
    cutouts: Sequence[Cells],
    made_with: CutoutOptions,
    options: KindClassifier,
    work_folder: Path,
    start: ModelBundle | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Study:
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
    identity = [options.model_dump(mode="json", exclude={"search", "training", "resamples"}), table_fingerprint(table)]

    def train(split: Split, values: dict[str, Any], name: str, log: Callable[[dict[str, float]], None]) -> _Trained:
        return _train(pixels, labels, split, values, options, start, [*identity, name], work_folder, log)

    tried, best = _searched(dealt[0], options, train, pixels, labels)
    answers, histories, models = [], [], []
    for number, split in enumerate(dealt, start=1):
        made = train(split, best, f"split_{number}", on_epoch if number == 1 else lambda _: None)
        known = table.iloc[split.test][["cell_id", "group_id", "label"]].reset_index(drop=True)
        found = probabilities(made.network, pixels[split.test])
        answers.append(pd.concat([known, pd.DataFrame(found, columns=[f"p_{kind}" for kind in options.kinds])], axis=1))
        histories.append(pd.DataFrame(made.history).assign(split=number))
        models.append(made)
    table_3 = _predictions_by_part(models[0].network, pixels, labels, dealt[0], models[0].trained_on, options)
    said = pd.concat(answers, ignore_index=True)
    metrics = {
        **_measured(said, options),
        "splits": len(dealt),
        "best": best,
        "parts": table_3,
        "missing_from_parts": _missing(table, dealt, options),
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
    return Study(model, said, tried, pd.concat(histories, ignore_index=True), none_for_nan(metrics))


def _positions(labels: pd.Series, options: KindClassifier) -> Indices:
    places = {kind: k for k, kind in enumerate(options.kinds)}
    return np.asarray([places[label] for label in labels], np.int64)


@dataclass(frozen=True)
class _Trained:
    network: nn.Module
    history: list[dict[str, float]]
    val_loss: float
    trained_on: dict[str, int]


def _gathered(cutouts: Sequence[Cells], options: KindClassifier) -> tuple[pd.DataFrame, Cutouts]:
    sides = {cells.side_px for cells in cutouts}
    if len(sides) != 1:
        raise ConfigurationError(
            "sets of cutouts differ in size",
            where=f"classifier {options.name}: cutouts",
            got=str(sorted(sides)),
            remedy="give them one side_px under sam_counting.cutouts",
        )
    kept = [cells.table["label"].isin(options.kinds).to_numpy() for cells in cutouts]
    table = pd.concat([cells.table[mine] for cells, mine in zip(cutouts, kept, strict=True)], ignore_index=True)
    few = [kind for kind in options.kinds if (table["label"] == kind).sum() < 3]
    if few:
        raise ConfigurationError(
            f"fewer than 3 cutouts of {', '.join(few)}",
            where=f"classifier {options.name}",
            got=str(table["label"].value_counts().to_dict()),
            remedy="add cutouts, or leave the kind out of kinds",
        )
    return table, np.concatenate([np.asarray(c.crops)[mine] for c, mine in zip(cutouts, kept, strict=True)])


def splits(table: pd.DataFrame, options: KindClassifier) -> list[Split]:
    """Rows of the table of cutouts to train on, choose by and test on: one split, or one for each fold.

    Raises:
        ConfigurationError: a part would be empty, or there are too few groups.
    """
    rows, labels = np.arange(len(table)), table["label"].to_numpy(object)
    seed = seed_for(options.seed, "kinds", options.split)
    if options.split == "published":
        return [_by_part(table["scanner"].to_numpy(object), options, "use cutouts with reader: published")]
    if options.split == "cutout":
        rest, test = train_test_split(rows, test_size=_TEST, stratify=labels, random_state=seed)
        share = _VAL / (1 - _TEST)
        train, val = train_test_split(rest, test_size=share, stratify=labels[rest], random_state=seed)
        return [Split(train, val, test)]
    groups = pd.factorize(table["group_id"])[0]
    if options.folds:
        folds = fold_groups(rows, labels, groups, options.folds, seed)
        return [Split(*_without_val(rest, labels, groups, seed), test) for rest, test in folds]
    part = np.array(table["part"], object)
    own = np.flatnonzero(pd.isna(part))
    if len(own):
        rest, test = split_groups(own, labels, groups, _share(_TEST, groups[own]), seed)
        train, val = _without_val(rest, labels, groups, seed)
        part[train], part[val], part[test] = SPLITS
    return [_by_part(part, options, "give more images")]


def _by_part(part: npt.NDArray[np.object_], options: KindClassifier, remedy: str) -> Split:
    made = Split(*(np.flatnonzero(part == name) for name in SPLITS))
    if not all(map(len, (made.train, made.val, made.test))):
        raise ConfigurationError(
            f"split {options.split} needs the parts train, val and test",
            where=f"classifier {options.name}: split",
            got=str(sorted(map(str, set(part)))),
            remedy=f"{remedy}, or choose another split",
        )
    return made


def _without_val(rest: Indices, labels: npt.NDArray[np.object_], groups: Indices, seed: int) -> tuple[Indices, Indices]:
    return split_groups(rest, labels, groups, _share(_VAL / (1 - _TEST), groups[rest]), seed)


def _missing(table: pd.DataFrame, dealt: Sequence[Split], options: KindClassifier) -> list[str]:
    """What parts of the splits lack: kinds and sources."""
    notes = []
    for number, split in enumerate(dealt, start=1):
        where = f"classifier {options.name}, split {number}"
        for what, column in (("kind", "label"), ("source", "source")):
            notes += missing_from_parts(table[column].to_numpy(object), vars(split), what, where)
    return notes


def _share(wanted: float, groups: Indices) -> float:
    """The share, or that of one group where there are so few."""
    return max(wanted, 1 / max(len(np.unique(groups)), 1))


def _searched(
    split: Split,
    options: KindClassifier,
    train: Callable[[Split, dict[str, Any], str, Callable[[dict[str, float]], None]], _Trained],
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
        made = train(split, values, f"search_{number}", lambda _: None)
        right = probabilities(made.network, pixels[split.val]).argmax(axis=1) == labels[split.val]
        rows.append({**values, "val_accuracy": float(right.mean()), "val_loss": made.val_loss})
    tried = pd.DataFrame(rows).sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    return tried.reset_index(drop=True), combinations[int(tried.index[0])]


def _train(
    pixels: Cutouts,
    labels: Indices,
    split: Split,
    values: dict[str, Any],
    options: KindClassifier,
    start: ModelBundle | None,
    identity: list[Any],
    work_folder: Path,
    log: Callable[[dict[str, float]], None],
) -> _Trained:
    seed = seed_for(options.seed, "kinds", str(identity[-1]))
    own, own_labels = multiplied(pixels[split.train], labels[split.train], options, seed)
    torch.manual_seed(seed)
    network = build_network(len(options.kinds), pixels.shape[1], values["dropout"])
    if start is not None:
        fine_tuned_from(network, start, options)
    settings = options.training.model_copy(
        update={"batch_size": values["batch_size"], "epochs": values["epochs"], "lr": values["lr"]}
    )
    made = fit_supervised(
        network,
        _Loss(len(options.kinds)),
        CropData(own, np.arange(len(own)), own_labels, seed),
        CropData(pixels, split.val, labels, seed),
        settings,
        seed=seed,
        identity=[*identity, values],
        work_folder=work_folder,
        on_epoch=log,
    )
    counts = np.bincount(own_labels, minlength=len(options.kinds))
    trained_on = {kind: int(n) for kind, n in zip(map(str, options.kinds), counts, strict=True)}
    return _Trained(network.eval(), made.history, made.history[made.best_epoch - 1]["val_loss"], trained_on)


def fine_tuned_from(network: nn.Module, start: ModelBundle, options: KindClassifier) -> None:
    """Load a trained classifier's weights; a last layer for other kinds starts anew (paper 004, section 4.3).

    Raises:
        ConfigurationError: it was made for cutouts of another size.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in start.weights.items() if name in own and own[name].shape == value.shape}
    last = next(reversed(own)).split(".")[0]
    if any(name not in fitting and not name.startswith(f"{last}.") for name in own):
        raise ConfigurationError(
            "weights to fine-tune do not fit",
            where=f"classifier {options.name}: first_weights.model {options.first_weights.model}",
            got=f"cutouts of {start.config['side_px']} px there",
            remedy="give both one side_px",
        )
    network.load_state_dict(fitting, strict=False)


class _Loss(nn.Module):
    """Binary cross-entropy of one logit, as published, or cross-entropy where there are more kinds."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.binary = kinds == 2

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch."""
        if self.binary:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), labels.float())
        return nn.functional.cross_entropy(logits.float(), labels)


def multiplied(pixels: Cutouts, labels: Indices, options: KindClassifier, seed: int) -> tuple[Cutouts, Indices]:
    """Training cutouts after augmentation and balancing (paper 004, section 3.4).

    Augmented kinds come `copies` times, as they are and flipped and turned by up to 90 degrees; of the other kinds, at
    most `ratio` times as many as all augmented ones together are kept, drawn at random.
    """
    rng = np.random.default_rng(seed)
    rare = np.isin(labels, [options.kinds.index(kind) for kind in options.augmented if kind in options.kinds])
    vary = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5), Turn(90.0)])
    copies = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for each in pixels[rare]:
            image = torch.from_numpy(each).permute(2, 0, 1)
            copies += [vary(image).permute(1, 2, 0).numpy() for _ in range(options.copies - 1)]
    made = np.stack([*pixels[rare], *copies]) if rare.any() else pixels[:0]
    own = np.concatenate([labels[rare], np.repeat(labels[rare], options.copies - 1)])
    common = np.flatnonzero(~rare)
    most = round(options.ratio * len(made)) if rare.any() else len(common)
    chosen = np.sort(rng.permutation(common)[:most])
    return np.concatenate([pixels[chosen], made]), np.concatenate([labels[chosen], own]).astype(np.int64)


def _predictions_by_part(
    network: nn.Module,
    pixels: Cutouts,
    labels: Indices,
    split: Split,
    trained_on: dict[str, int],
    options: KindClassifier,
) -> list[dict[str, Any]]:
    """Cutouts of each part, before augmentation, and what the classifier calls them (Tables 3 and 4)."""
    rows = []
    for part in ("train", "val", "test"):
        mine: Indices = getattr(split, part)
        found = np.bincount(probabilities(network, pixels[mine]).argmax(axis=1), minlength=len(options.kinds))
        right = float((probabilities(network, pixels[mine]).argmax(axis=1) == labels[mine]).mean())
        there = np.bincount(labels[mine], minlength=len(options.kinds))
        row: dict[str, Any] = {"part": part, "accuracy": right}
        for k, kind in enumerate(options.kinds):
            row |= {kind: int(there[k]), f"predicted_{kind}": int(found[k])}
            if part == "train":
                row[f"{kind}_after_augmentation"] = trained_on[kind]
        rows.append(row)
    return rows


def _measured(answers: pd.DataFrame, options: KindClassifier) -> dict[str, Any]:
    truth = _positions(answers["label"], options)
    found = answers[[f"p_{kind}" for kind in options.kinds]].to_numpy(np.float64)
    groups = answers["group_id"].to_numpy(object)
    answer = RunAnswers(truth, found.argmax(axis=1).astype(np.int64), groups)
    made = group_intervals(
        [answer],
        len(options.kinds),
        unit="tiles, or images that show the same field",
        resamples=options.resamples,
        seed=options.seed,
    )
    return {
        **classification_measures(truth, found, options.kinds),
        "interval_95": made.limits,
        "interval_basis": made.basis,
        "test_cutouts": len(answers),
        "test_groups": int(answers["group_id"].nunique()),
    }
