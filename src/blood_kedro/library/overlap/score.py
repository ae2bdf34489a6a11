"""How good a classifier's answers are: against weak labels, as Gurav et al. 2025 do, and a truth, where known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.evaluation.classification import classification_measures, roc
from blood_kedro.library.evaluation.resampling import (
    IMAGES,
    Floats,
    Intervals,
    excludes_zero,
    intervals,
    mean_intervals,
    numbered,
    ratio,
    sums_by_group,
)
from blood_kedro.library.overlap.rules import MOST_CELLS

NAMES = ("single", "overlapping")
Flags = npt.NDArray[np.bool_]


def score_overlap_classifier(answers: pd.DataFrame, counts_known: bool, resamples: int, seed: int) -> dict[str, Any]:
    """Measures of one classifier on its test crops.

    Args:
        answers: of `train_classifier`.
        counts_known: whether `true_cells` counts cells, or tells only single (1) from overlapping (2).
        resamples: draws of groups of images for the intervals.
        seed: of the draws.

    Returns:
        `against_labels`, on crops with a weak label; and where a truth is known `against_truth`; each with `accuracy,
        precision, recall, f1` (of overlapping cells), `single_*`, `auc, ece, confusion, interval_95, interval_basis,
        crops, groups`. The latter also has the same of the weak labels (`labels`), the difference in accuracy (`gain`,
        `gain_interval_95`), `beats_labels` ("yes", "no", or "undecided" where the interval holds 0), and `counting`
        for a classifier that counts.
    """
    p, weak = (answers[name].to_numpy(np.float64) for name in ("overlapping", "label"))
    groups = answers["group_id"].to_numpy(object)
    labelled = ~np.isnan(weak)
    score: dict[str, Any] = {
        "test_crops": len(answers),
        "against_labels": _measured(weak[labelled] > 0.5, p[labelled], groups[labelled], resamples, seed),
    }
    known = ~np.isnan(answers["true_cells"].to_numpy(np.float64)) & labelled
    if known.any():
        cells = answers["true_cells"].to_numpy(np.float64)[known]
        score["against_truth"] = _against_truth(cells > 1, p[known], weak[known], groups[known], resamples, seed)
        columns = [f"p_cells_{k}" for k in range(1, MOST_CELLS + 1)]
        if counts_known and columns[0] in answers:
            shares = answers.loc[known, columns].to_numpy(np.float64)
            score["against_truth"]["counting"] = _counting(cells, shares, groups[known], resamples, seed)
    scored: dict[str, Any] = none_for_nan(score)
    return scored


def _against_truth(
    truth: Flags, p: Floats, weak: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int
) -> dict[str, Any]:
    score = _measured(truth, p, groups, resamples, seed)
    score["labels"] = _measured(truth, weak, groups, resamples, seed)
    right, label_right = (p > 0.5) == truth, (weak > 0.5) == truth
    gained = right.astype(np.float64) - label_right
    limits = mean_intervals(
        {"gain": gained}, groups, unit=IMAGES, resamples=resamples, seed=seed, within={"gain": (-1.0, 1.0)}
    ).limits["gain"]
    score["gain"] = float(gained.mean())
    score["gain_interval_95"] = limits
    score["beats_labels"] = ("yes" if score["gain"] > 0 else "no") if excludes_zero(limits) else "undecided"
    return score


def _measured(truth: Flags, p: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int) -> dict[str, Any]:
    measures = classification_measures(truth.astype(np.int64), np.stack([1 - p, p], axis=1), NAMES)
    single, overlapping = (measures["per_class"][name] for name in NAMES)
    said = p > 0.5
    class_intervals = _two_class_intervals(truth, said, groups, resamples, seed)
    grid = np.linspace(0, 1, 101)
    return {
        "accuracy": measures["accuracy"],
        "precision": overlapping["ppv"],
        "recall": overlapping["sensitivity"],
        "f1": overlapping["f1"],
        "single_precision": single["ppv"],
        "single_recall": single["sensitivity"],
        "single_f1": single["f1"],
        "auc": overlapping["auc"],
        "ece": measures["ece"],
        "confusion": measures["confusion"],
        "interval_95": class_intervals.limits,
        "interval_basis": class_intervals.basis,
        "roc": [grid.tolist(), roc(truth.astype(np.int64), np.stack([1 - p, p], axis=1), 1, grid).tolist()],
        "crops": len(truth),
        "overlapping": int(truth.sum()),
        "groups": len(np.unique(groups.astype(str))),
    }


def _counting(
    cells: Floats, shares: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int
) -> dict[str, Any]:
    """How well 1, 2, 3 and 4 or more cells are told apart; more than four count as four on both sides."""
    truth = np.minimum(cells, MOST_CELLS).astype(int)
    predicted = shares.argmax(axis=1) + 1
    confusion = np.zeros((MOST_CELLS, MOST_CELLS), int)
    np.add.at(confusion, (truth - 1, predicted - 1), 1)
    exact, error = (predicted == truth).astype(np.float64), np.abs(predicted - truth).astype(np.float64)
    count_intervals = mean_intervals(
        {"exact": exact, "mean_absolute_error": error},
        groups,
        unit=IMAGES,
        resamples=resamples,
        seed=seed,
        within={"mean_absolute_error": (0.0, float(MOST_CELLS))},
    )
    return {
        "exact": float((predicted == truth).mean()),
        "mean_absolute_error": float(np.abs(predicted - truth).mean()),
        "confusion": confusion.tolist(),
        "interval_95": count_intervals.limits,
        "interval_basis": count_intervals.basis,
    }


def _two_class_intervals(
    truth: Flags, said: Flags, groups: npt.NDArray[np.object_], resamples: int, seed: int
) -> Intervals:
    """Of accuracy, and of precision, recall and F1 of overlapping cells; a draw without any leaves those out."""
    numbers, count = numbered(groups)
    ones = np.ones(len(truth), np.bool_)
    sums = sums_by_group([said == truth, said & truth, said, truth, ones], numbers, count)

    def statistic(weights: Floats) -> Floats:
        right, hits, claimed, there, crops = (weights @ sums).T
        # As the point: nothing claimed is a precision of 0, no overlapping cell is none at all.
        precision = np.where(there > 0, hits / np.maximum(claimed, 1), np.nan)
        f1 = np.where(there > 0, ratio(2 * hits, claimed + there), np.nan)
        return np.stack([ratio(right, crops), precision, ratio(hits, there), f1], axis=1)

    names = ("accuracy", "precision", "recall", "f1")
    return intervals(statistic, names, count, unit=IMAGES, resamples=resamples, seed=seed)
