"""Measures of paper 003, section 4.5, and what it lacks: intervals, calibration, and the price of answering all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from blood_kedro.library.core.hashing import seed_for

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "f1")
_BINS = 15


def pixel_measures(truth: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Equations 2 to 8 over pooled pixels, and the mean IoU of single cells.

    Args:
        truth: `(N, S, S)`.
        found: the same shape.

    Returns:
        `sensitivity, specificity, ppv, f1, accuracy, fpr, iou, iou_per_cell`; NaN where undefined.
    """
    tp, fp, fn, tn = (
        int(np.count_nonzero(part)) for part in (truth & found, ~truth & found, truth & ~found, ~truth & ~found)
    )
    both = (truth & found).sum(axis=(1, 2))
    either = (truth | found).sum(axis=(1, 2))
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
        class that nobody has and nobody is given leaves NaN, and no mean counts it.
    """
    found = probabilities.argmax(axis=1)
    matrix = confusion_matrix(truth, found, labels=range(len(classes)))
    per_class = {name: _one_against_rest(matrix, k) for k, name in enumerate(classes)}
    for k, name in enumerate(classes):
        both = 0 < (truth == k).sum() < len(truth)
        per_class[name]["auc"] = float(roc_auc_score(truth == k, probabilities[:, k])) if both else np.nan
    means = {key: _mean([row[key] for row in per_class.values()]) for key in (*MEASURES, "auc")}
    return {
        "accuracy": float((truth == found).mean()),
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
    return {
        "sensitivity": _ratio(tp, tp + fn), "specificity": _ratio(tn, tn + fp), "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn), "f1": _ratio(2 * tp, 2 * tp + fp + fn), "cells": tp + fn,
    }  # fmt: skip


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


def group_interval(
    truth: Labels, found: Sequence[Labels], groups: npt.NDArray[np.object_], classes: int, resamples: int, seed: int
) -> dict[str, list[float | None]]:
    """95% bootstrap intervals of accuracy and macro F1, averaged over runs, over resampled groups of cells.

    Args:
        truth: `(N,)`.
        found: of each run, `(N,)`.
        groups: `(N,)`: cells of a group come or stay away together.
        classes: their number.
        resamples: 0 leaves intervals out.
        seed: of the bootstrap.
    """
    names = np.unique(groups)
    members = [np.flatnonzero(groups == name) for name in names]
    matrices = np.array(
        [[confusion_matrix(truth[rows], run[rows], labels=range(classes)) for rows in members] for run in found]
    )
    rng = np.random.default_rng(seed_for(seed, "groups"))
    draws = np.array(
        [_accuracy_and_f1(matrices[:, rng.integers(0, len(names), len(names))].sum(axis=1)) for _ in range(resamples)]
    )
    if not len(draws):
        return {"accuracy": [None, None], "f1": [None, None]}
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return {key: [float(low[k]), float(high[k])] for k, key in enumerate(("accuracy", "f1"))}


def _accuracy_and_f1(matrices: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Means over runs, from confusion matrices `(runs, C, C)`; classes that a resample misses are left out."""
    right = np.trace(matrices, axis1=1, axis2=2) / matrices.sum(axis=(1, 2))
    tp = np.diagonal(matrices, axis1=1, axis2=2)
    all_ = matrices.sum(axis=1) + matrices.sum(axis=2)
    f1 = np.where(all_ > 0, 2 * tp / np.maximum(all_, 1), np.nan)
    return float(right.mean()), float(np.nanmean(f1))


def t_test(first: Sequence[float], second: Sequence[float]) -> float | None:
    """P of a two-sample t-test over runs (Table 6); None where a side has fewer than two or nothing varies."""
    if min(len(first), len(second)) < 2:
        return None
    p = float(stats.ttest_ind(first, second).pvalue)
    return p if np.isfinite(p) else None


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")
