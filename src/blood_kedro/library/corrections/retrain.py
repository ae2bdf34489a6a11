"""Correct, retrain, compare: a shipped classifier learns from corrections and is judged on such that it did not see."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.model_bundle import DIGEST, ModelBundle, load_config, save_bundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.checks import check, check_judged
from blood_kedro.library.corrections.compare import BeforeAfter, compare
from blood_kedro.library.corrections.examples import example_features, examples_of
from blood_kedro.library.corrections.forgetting import originals_of
from blood_kedro.library.corrections.head import (
    Features,
    Head,
    calibration_of,
    fit_head,
    head_of,
    log_probabilities_by,
    network_of,
)
from blood_kedro.library.corrections.options import RetrainOptions
from blood_kedro.library.corrections.store import Corrections, fingerprint_of
from blood_kedro.library.evaluation.resampling import numbered
from blood_kedro.library.shipped.bundle import bundle_of, load_shipped, models_folder
from blood_kedro.library.shipped.classifiers import TypeClassifier, classifier_of
from blood_kedro.library.shipped.train_and_judge_types import meant_classes
from blood_kedro.library.training.splits import fold_groups

if TYPE_CHECKING:
    from blood_kedro.library.shipped.type_network import CellTypeNet

logger = logging.getLogger(__name__)

Which = Literal["white_cells", "red_cell_shapes"]
Floats = npt.NDArray[np.float64]
# Pictures of corrections in a model's `learnt_from`.
LEARNT = "corrections/"
DEFAULTS = RetrainOptions()


@dataclass(frozen=True)
class Comparison:
    """A retrained classifier and what it is worth.

    Attributes:
        which: name of the model.
        folder: where `load(which, folder)` finds it.
        cells_by_type: corrected and confirmed cells that it learnt from.
        corrections: before and after on corrected cells, each judged by a head that learnt from other groups.
        originals: likewise on pictures of the laboratories that the model learnt from, which it never saw, by
            laboratory: what is lost there is forgotten. Empty where these pictures are not at hand.
        notes: what limits the figures.
        seconds: that all of it took.
    """

    which: Which
    folder: Path
    cells_by_type: dict[str, int]
    corrections: BeforeAfter
    originals: dict[str, BeforeAfter]
    notes: list[str]
    seconds: float

    def text(self) -> str:
        """All of it, for a terminal."""
        learnt = ", ".join(f"{count} {name}" for name, count in self.cells_by_type.items())
        parts = [f"{self.which} learnt from {learnt}", "Corrections, held out by picture", self.corrections.text()]
        for laboratory, judged in self.originals.items():
            parts += [f"Pictures of {laboratory} that were never learnt from", judged.text()]
        return "\n".join([*parts, *self.notes, f"{self.seconds:.0f} s; the model is in {self.folder / self.which}"])


def retrain(
    corrections: Path,
    which: Which,
    out: Path,
    options: RetrainOptions = DEFAULTS,
    *,
    models: Path | None = None,
    raw_root: Path | None = None,
    rejects: RejectLog | None = None,
    command: str = "",
) -> Comparison:
    """Fit the last layer of a classifier to corrected and confirmed cells, and say what that changed.

    Every group of pictures (of one smear, or that show the same field) is held out once, and the others are learnt
    from; the model that is saved learnt from all.

    Args:
        corrections: folder of `Corrections`.
        which: name of the classifier.
        out: folder of models that takes the new one: `load(which, out)`.
        options: how.
        models: folder of the model to start from; None takes the one that ships. Start from the one that ships and
            learn from all corrections, rather than from the last one: what that learnt from is not held out again.
        raw_root: folder of the public sets, where they are at hand, to see what is forgotten.
        rejects: takes pictures that cannot be read any more.
        command: that this is called by, for the record.

    Raises:
        SourceNotFoundError: there are no corrections.
        ConfigurationError: too few cells or groups, all of one type, or `out` is where models ship.
    """
    began = time.monotonic()
    if out.resolve() == models_folder().resolve():
        raise ConfigurationError("a retrained model must not replace the one that ships", where=str(out))
    cells = Corrections(corrections).cells()
    parent = load_shipped(which, models)
    parent_digest = str(load_config((models or models_folder()) / which)[DIGEST])
    classifier = classifier_of(parent)
    log = RejectLog("corrections") if rejects is None else rejects
    examples = examples_of(cells, classifier.classes, log)
    check(examples, options, str(corrections))
    judged = ~_learnt_before(examples, parent)
    check_judged(examples[judged], str(corrections))
    types = examples["type_after"].tolist()
    features = example_features(examples, classifier)
    meant = meant_classes(types, classifier.classes)
    start, calibration = head_of(classifier), calibration_of(classifier)
    logger.info("%s: %d cells of %d groups", which, len(types), examples["group_id"].nunique())

    def fitted(rows: npt.NDArray[np.int64]) -> Head:
        return fit_head(features[rows], meant[rows], start, calibration, options.hold)

    after = held_out(examples, features, judged, fitted, classifier, options)
    before = log_probabilities_by(start, features, calibration)
    whole = fitted(np.arange(len(types)))
    judged_types, groups = (examples.loc[judged, name].tolist() for name in ("type_after", "group_id"))
    compared = compare(judged_types, groups, before[judged], after[judged], classifier, options)
    originals = originals_of(parent, classifier, whole, raw_root, options, log)
    comparison = Comparison(
        which,
        out,
        {str(k): int(v) for k, v in examples["type_after"].value_counts().sort_index().items()},
        compared,
        originals,
        notes_on(examples, judged),
        time.monotonic() - began,
    )
    said = {
        "parent": {DIGEST: parent_digest},
        "corrections": {"fingerprint": fingerprint_of(cells), "cells_by_type": comparison.cells_by_type},
        "options": options.model_dump(mode="json"),
        "judged": {"corrections": asdict(compared), **{name: asdict(each) for name, each in originals.items()}},
        "notes": comparison.notes,
    }
    learnt = sorted({LEARNT + each for each in examples["picture"]})
    config = {
        **parent.config,
        "learnt_from": [*parent.config["learnt_from"], *learnt],
        "retrained": said,
        "command": command,
    }
    save_bundle(bundle_of(_with_head(classifier, whole), config), out / which)
    return comparison


def held_out(
    examples: pd.DataFrame,
    features: Features,
    judged: npt.NDArray[np.bool_],
    fitted: Callable[[npt.NDArray[np.int64]], Head],
    classifier: TypeClassifier,
    options: RetrainOptions,
) -> Floats:
    """Log-probabilities `(N, C)` of each judged cell by a head that learnt from all groups but its own part's.

    Rows that are not judged are learnt from in all parts, and NaN in the answer.
    """
    rows, labels = np.flatnonzero(judged), examples["type_after"].to_numpy(object)
    groups, _ = numbered(examples["group_id"])
    folds = min(options.folds, len(np.unique(groups[rows])))
    if examples.loc[rows, "type_after"].value_counts().max() < folds:
        labels = np.full(len(labels), "any", object)  # no type has enough cells to be spread over the parts
    logs = np.full((len(labels), len(classifier.classes)), np.nan)
    always = np.flatnonzero(~judged)
    for train, test in fold_groups(rows, labels, groups, folds, options.seed):
        head = fitted(np.concatenate([train, always]))
        logs[test] = log_probabilities_by(head, features[test], calibration_of(classifier))
    return logs


def notes_on(examples: pd.DataFrame, judged: npt.NDArray[np.bool_]) -> list[str]:
    """What limits the figures, in words."""
    table = examples
    groups = table.groupby("type_after")["group_id"].nunique()
    single = sorted(str(name) for name, count in groups.items() if count < 2)
    notes = ["Corrected cells are those that somebody chose to look at: figures are of such, not of all cells."]
    if single:
        notes.append(f"In one group only, so judged by a model that learnt from none: {', '.join(single)}.")
    if not judged.all():
        notes.append(f"{int((~judged).sum())} cells are of pictures that the model learnt from before: not judged.")
    return notes


def _learnt_before(examples: pd.DataFrame, parent: ModelBundle) -> npt.NDArray[np.bool_]:
    """Which cells are of a group of which the model that is started from has seen a picture."""
    table = examples
    seen = {name.removeprefix(LEARNT) for name in parent.config["learnt_from"] if name.startswith(LEARNT)}
    groups = set(table.loc[table["picture"].isin(seen), "group_id"])
    return table["group_id"].isin(groups).to_numpy(np.bool_)


def _with_head(classifier: TypeClassifier, head: Head) -> CellTypeNet:
    import torch

    network = copy.deepcopy(network_of(classifier))
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    return network
