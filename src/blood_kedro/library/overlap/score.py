"""How good a classifier's answers are: against the weak labels, as paper 002 does, and against a truth, where known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.evaluation.classification import classification_measures, roc
from blood_kedro.library.overlap.rules import MOST_CELLS

NAMES = ("single", "overlapping")
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def score_study(answers: pd.DataFrame, counts_known: bool, resamples: int, seed: int) -> dict[str, Any]:
    """Measures of one study on its test crops.

    Args:
        answers: of `study.train_study`.
        counts_known: whether `true_cells` counts cells, or tells only single (1) from overlapping (2).
        resamples: of the bootstrap over groups of images.
        seed: of the bootstrap.

    Returns:
        `against_labels`, on crops with a weak label; and where a truth is known `against_truth`; each with `accuracy,
        precision, recall, f1` (of overlapping cells), `single_*`, `auc, ece, confusion, interval_95, crops, groups`.
        The latter also has the same of the weak labels (`labels`), the difference in accuracy (`gain`,
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
    gains = _resampled(np.stack([right.astype(float) - label_right, np.ones(len(truth))]), groups, resamples, seed)
    low, high = _limits(gains[:, 0] / gains[:, 1])
    score["gain"] = float(right.mean() - label_right.mean())
    score["gain_interval_95"] = [low, high]
    sure = low is not None and high is not None and (low > 0 or high < 0)
    score["beats_labels"] = ("yes" if score["gain"] > 0 else "no") if sure else "undecided"
    return score


def _measured(truth: Flags, p: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int) -> dict[str, Any]:
    found = classification_measures(truth.astype(np.int64), np.stack([1 - p, p], axis=1), NAMES)
    single, overlapping = (found["per_class"][name] for name in NAMES)
    said = p > 0.5
    # Sums that all measures of two classes follow from: right, true positives, said, true, crops.
    parts = np.stack([said == truth, said & truth, said, truth, np.ones(len(truth), np.bool_)]).astype(np.float64)
    draws = _resampled(parts, groups, resamples, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = {
            "accuracy": draws[:, 0] / draws[:, 4],
            "precision": draws[:, 1] / draws[:, 2],
            "recall": draws[:, 1] / draws[:, 3],
            "f1": 2 * draws[:, 1] / (draws[:, 2] + draws[:, 3]),
        }
    grid = np.linspace(0, 1, 101)
    return {
        "accuracy": found["accuracy"], "precision": overlapping["ppv"], "recall": overlapping["sensitivity"],
        "f1": overlapping["f1"], "single_precision": single["ppv"], "single_recall": single["sensitivity"],
        "single_f1": single["f1"], "auc": overlapping["auc"], "ece": found["ece"], "confusion": found["confusion"],
        "interval_95": {name: _limits(values) for name, values in drawn.items()},
        "roc": [grid.tolist(), roc(truth.astype(np.int64), np.stack([1 - p, p], axis=1), 1, grid).tolist()],
        "crops": len(truth), "overlapping": int(truth.sum()), "groups": len(np.unique(groups.astype(str))),
    }  # fmt: skip


def _counting(
    cells: Floats, shares: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int
) -> dict[str, Any]:
    """How well 1, 2, 3 and 4 or more cells are told apart; more than four count as four on both sides."""
    truth = np.minimum(cells, MOST_CELLS).astype(int)
    found = shares.argmax(axis=1) + 1
    confusion = np.zeros((MOST_CELLS, MOST_CELLS), int)
    np.add.at(confusion, (truth - 1, found - 1), 1)
    parts = np.stack([found == truth, np.abs(found - truth), np.ones(len(truth))]).astype(np.float64)
    draws = _resampled(parts, groups, resamples, seed)
    return {
        "exact": float((found == truth).mean()),
        "mean_absolute_error": float(np.abs(found - truth).mean()),
        "confusion": confusion.tolist(),
        "interval_95": {
            "exact": _limits(draws[:, 0] / draws[:, 2]),
            "mean_absolute_error": _limits(draws[:, 1] / draws[:, 2]),
        },
    }


def _resampled(parts: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int) -> Floats:
    """Sums `(resamples, rows of parts)` over groups drawn with replacement."""
    codes = pd.factorize(groups)[0]
    count = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, row, count) for row in parts], axis=1)
    rng = np.random.default_rng(seed_for(seed, "overlap", "groups"))
    drawn = [sums[rng.integers(0, count, count)].sum(axis=0) for _ in range(resamples)]
    return np.array(drawn).reshape(-1, len(parts))


def _limits(values: Floats) -> list[float | None]:
    known = values[~np.isnan(values)]
    return [float(v) for v in np.percentile(known, [2.5, 97.5])] if len(known) else [None, None]
