"""Measures of Elmanna et al. 2024, 4.5, and what they lack: intervals, calibration, the price of answering all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from blood_kedro.library.evaluation.resampling import Floats, Intervals, Statistic, intervals, numbered, ratio

Labels = npt.NDArray[np.int64]
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "f1")
_BINS = 15
_MEANS = ("accuracy", "f1")


def pixel_measures(truth: npt.NDArray[np.bool_], masks: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Equations 2 to 8 over pooled pixels, and the mean IoU of single cells.

    Args:
        truth: `(N, S, S)`.
        masks: the same shape.

    Returns:
        `sensitivity, specificity, ppv, f1, accuracy, fpr, iou, iou_per_cell`; NaN where undefined.
    """
    tp, fp, fn, tn = (
        int(np.count_nonzero(part)) for part in (truth & masks, ~truth & masks, truth & ~masks, ~truth & ~masks)
    )
    both = (truth & masks).sum(axis=(1, 2))
    either = (truth | masks).sum(axis=(1, 2))
    return {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "ppv": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "fpr": _ratio(fp, fp + tn),
        "iou": _ratio(tp, tp + fp + fn),
        # An empty mask that is left empty is found exactly.
        "iou_per_cell": float(np.mean(np.where(either > 0, both / np.maximum(either, 1), 1.0)))
        if len(both)
        else np.nan,
    }


def classification_measures(truth: Labels, probabilities: Floats, classes: Sequence[str]) -> dict[str, Any]:
    """Measures of one run.

    Args:
        truth: `(N,)`, positions in `classes`.
        probabilities: `(N, C)`.
        classes: names.

    Returns:
        `accuracy`; the means over classes `sensitivity, specificity, ppv, npv, f1, auc`; `per_class`: the same of each;
        `confusion` `(C, C)`, rows true; `ece`, the expected calibration error of the chosen class over 15 bins. A
        class that no cell has is absent: all its measures are NaN and no mean counts it (cells that are given it are
        errors of their own classes). A class that cells have and none is given has PPV 0, so that every mean is over
        the same classes. Where all cells have one class, its specificity, NPV and AUC are undefined.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(truth, predicted, labels=range(len(classes)))
    per_class = {name: _one_against_rest(matrix, k) for k, name in enumerate(classes)}
    for k, name in enumerate(classes):
        both = 0 < (truth == k).sum() < len(truth)
        per_class[name]["auc"] = float(roc_auc_score(truth == k, probabilities[:, k])) if both else np.nan
    means = {key: _mean([row[key] for row in per_class.values()]) for key in (*MEASURES, "auc")}
    return {
        "accuracy": float((truth == predicted).mean()),
        **means,
        "per_class": per_class,
        "confusion": matrix.tolist(),
        "ece": expected_calibration_error(truth, probabilities),
        "cells": len(truth),
    }


def _one_against_rest(matrix: npt.NDArray[np.int64], k: int) -> dict[str, float]:
    tp = int(matrix[k, k])
    fn, fp = int(matrix[k].sum()) - tp, int(matrix[:, k].sum()) - tp
    tn = int(matrix.sum()) - tp - fn - fp
    if tp + fn == 0:
        return {**dict.fromkeys(MEASURES, float("nan")), "cells": 0}
    others = tn + fp > 0
    return {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "ppv": tp / max(tp + fp, 1),
        "npv": tn / max(tn + fn, 1) if others else float("nan"),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "cells": tp + fn,
    }


def expected_calibration_error(truth: Labels, probabilities: Floats) -> float:
    """Mean distance of confidence and accuracy over bins of confidence (Guo et al., ICML 2017, equation 3)."""
    return float(
        sum(share * abs(accuracy - confidence) for confidence, accuracy, share in reliability(truth, probabilities))
    )


def reliability(truth: Labels, probabilities: Floats) -> list[tuple[float, float, float]]:
    """Confidence, accuracy and share of cells of each of 15 bins of confidence that holds any."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        (float(confidence[bins == b].mean()), float(right[bins == b].mean()), float((bins == b).mean()))
        for b in range(_BINS)
        if (bins == b).any()
    ]


def abstention(truth: Labels, probabilities: Floats, shares: Sequence[float]) -> list[float]:
    """Accuracy where only the surest share of the cells is answered, for each share."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == truth)[order]
    return [float(right[: max(1, round(share * len(right)))].mean()) for share in shares]


def roc(truth: Labels, probabilities: Floats, k: int, grid: Floats) -> Floats:
    """Sensitivity of a class against the rest at each false positive rate of `grid`; NaN without cells of both."""
    positive = truth == k
    if not 0 < positive.sum() < len(truth):
        return np.full(len(grid), np.nan)
    false_rate, true_rate, _ = roc_curve(positive, probabilities[:, k])
    return np.asarray(np.interp(grid, false_rate, true_rate), np.float64)


@dataclass(frozen=True)
class RunAnswers:
    """What a run was tested on and said: labels and answers `(N,)`, positions in the classes, and groups `(N,)`."""

    truth: Labels
    found: Labels
    groups: npt.NDArray[np.object_]


def group_intervals(runs: Sequence[RunAnswers], classes: int, *, unit: str, resamples: int, seed: int) -> Intervals:
    """95% intervals of accuracy and macro F1, averaged over runs as their values are, over groups of cells.

    Each draw averages over the same runs, and F1 over the classes that the run's cells have; a run or class that a draw
    happens to miss counts with its value on all cells.

    Args:
        runs: a group keeps its name in all of them.
        classes: their number.
        unit: what a group is, in words.
        resamples: draws; 0 leaves intervals out.
        seed: of the draws.
    """
    statistic, count = _means_over_runs(runs, classes)
    return intervals(statistic, _MEANS, count, unit=unit, resamples=resamples, seed=seed)


def paired_intervals(
    first: RunAnswers, second: RunAnswers, classes: int, *, unit: str, resamples: int, seed: int
) -> tuple[dict[str, float], Intervals]:
    """Second minus first in accuracy and macro F1 on the same cells, with 95% intervals over the same draws of groups.

    Args:
        first: answers of one classifier.
        second: another one's, on the same cells in the same order.
        classes: their number.
        unit: what a group is, in words.
        resamples: draws; 0 leaves intervals out.
        seed: of the draws.
    """
    (before, count), (after, _) = (_means_over_runs([run], classes) for run in (first, second))

    def statistic(weights: Floats) -> Floats:
        return after(weights) - before(weights)

    value = statistic(np.ones((1, count)))[0]
    ranges = dict.fromkeys(_MEANS, (-1.0, 1.0))
    drawn = intervals(statistic, _MEANS, count, unit=unit, resamples=resamples, seed=seed, within=ranges)
    return dict(zip(_MEANS, map(float, value), strict=True)), drawn


def _means_over_runs(runs: Sequence[RunAnswers], classes: int) -> tuple[Statistic, int]:
    """Weights of groups to `_MEANS` of runs, and the number of groups; see `group_intervals`."""
    numbers, count = numbered(np.concatenate([run.groups for run in runs]))
    parts = np.split(numbers, np.cumsum([len(run.groups) for run in runs])[:-1])
    tables = [_by_group(run, groups, count, classes) for run, groups in zip(runs, parts, strict=True)]
    whole = [_accuracy_and_f1(table, np.ones((1, count))) for table in tables]

    def statistic(weights: Floats) -> Floats:
        means = []
        for table, measured in zip(tables, whole, strict=True):
            drawn = _accuracy_and_f1(table, weights)
            filled = np.where(np.isnan(drawn), measured, drawn)
            known = filled[:, 1:][:, ~np.isnan(measured[0, 1:])]
            means.append(np.stack([filled[:, 0], known.mean(axis=1)], axis=1))
        return np.asarray(np.mean(means, axis=0), np.float64)

    return statistic, count


def _by_group(run: RunAnswers, numbers: Labels, count: int, classes: int) -> Floats:
    """Right, true and given cells of each class in each group, `(3, G, C)`."""
    table = np.zeros((3, count, classes))
    right = run.truth == run.found
    np.add.at(table[0], (numbers[right], run.truth[right]), 1)
    np.add.at(table[1], (numbers, run.truth), 1)
    np.add.at(table[2], (numbers, run.found), 1)
    return table


def _accuracy_and_f1(table: Floats, weights: Floats) -> Floats:
    """Accuracy and F1 of each class `(D, 1 + C)`; NaN for a class without a cell, and for accuracy without any."""
    right, true, predicted = weights @ table
    accuracy = ratio(right.sum(axis=1), true.sum(axis=1))
    f1 = np.where(true > 0, ratio(2 * right, true + predicted), np.nan)
    return np.column_stack([accuracy, f1])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")
