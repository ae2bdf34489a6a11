"""AP and recall under many weightings of the images at once.

pycocotools matches detections once; a draw of images needs only its last step again, accumulation, which takes it a
second for each draw. Here that step is written for weights: a detection of an image that was drawn twice counts twice.
On weights of one it gives pycocotools' own numbers, and on drawn images those of pycocotools on a list that repeats
them: between two copies of a detection precision never exceeds what stands after the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval
from scipy.sparse import csr_array

from blood_kedro.library.evaluation.resampling import Floats

RECALLS = np.linspace(0, 1, 101)
# Whether a recall of exactly j per cent reaches pycocotools' j-th threshold, which may be rounded above it.
_REACHED = np.arange(101) / 100 >= RECALLS
METRICS = ("map", "map_50", "map_75", "mar_100")


@dataclass(frozen=True)
class _Ranked:
    """Detections of a class at one IoU threshold, best first.

    Attributes:
        right: group of each right detection, `(R,)`.
        wrong: `(R, G)`, wrong detections of each group between a right detection and the one before it.
    """

    right: npt.NDArray[np.int64]
    wrong: csr_array


@dataclass(frozen=True)
class Matched:
    """What pycocotools matched.

    Attributes:
        objects: `(K, G)`, cells of each class in each group.
        ranked: of each class, at each of the ten IoU thresholds .50 to .95.
        groups: how many there are.
    """

    objects: Floats
    ranked: list[list[_Ranked]]
    groups: int


def matched(evaluation: COCOeval, groups: npt.NDArray[np.int64], count: int) -> Matched:
    """Take over the matches of an evaluation, all sizes together and 100 detections per image and class.

    Args:
        evaluation: after `evaluate`.
        groups: the number of the group of each of `evaluation.params.imgIds`.
        count: how many groups there are.
    """
    parameters = evaluation.params
    table = np.array(evaluation.evalImgs, object).reshape(len(parameters.catIds), -1, len(groups))[:, 0]
    objects = np.zeros((len(table), count))
    ranked = []
    for k, row in enumerate(table):
        evaluated = [(group, matches) for group, matches in zip(groups, row, strict=True) if matches is not None]
        for group, matches in evaluated:
            objects[k, group] += np.count_nonzero(np.asarray(matches["gtIgnore"]) == 0)
        ranked.append(_ranked(evaluated, parameters.maxDets[-1], len(parameters.iouThrs), count))
    return Matched(objects, ranked, count)


def _ranked(evaluated: list[tuple[int, dict[str, Any]]], most: int, thresholds: int, count: int) -> list[_Ranked]:
    scores = np.concatenate([np.zeros(0), *(matches["dtScores"][:most] for _, matches in evaluated)])
    order = np.argsort(-scores, kind="mergesort")
    owners = np.concatenate([np.zeros(0), *(np.full(len(f["dtScores"][:most]), g) for g, f in evaluated)])
    owners = owners.astype(np.int64)[order]
    empty = np.zeros((thresholds, 0), np.bool_)
    met, ignored = (
        np.concatenate([empty, *(matches[key][:, :most].astype(bool) for _, matches in evaluated)], axis=1)[:, order]
        for key in ("dtMatches", "dtIgnore")
    )
    return [_at(owners, hit & ~skip, ~hit & ~skip, count) for hit, skip in zip(met, ignored, strict=True)]


def _at(
    owners: npt.NDArray[np.int64], right: npt.NDArray[np.bool_], wrong: npt.NDArray[np.bool_], count: int
) -> _Ranked:
    hits, misses = np.flatnonzero(right), np.flatnonzero(wrong)
    before = np.searchsorted(hits, misses)  # the right detection that each wrong one comes before
    costly = before < len(hits)  # what comes after the last one costs no precision
    pairs = (np.ones(int(costly.sum())), (before[costly], owners[misses[costly]]))
    return _Ranked(owners[hits], csr_array(pairs, shape=(len(hits), count)))


def class_values(of: Matched, weights: Floats) -> dict[str, Floats]:
    """AP, AP50, AP75 and AR100 of each class, `(D, K)`, NaN where a weighting has no cell of it.

    Args:
        of: the matches.
        weights: `(D, G)`, whole numbers.
    """
    across = np.ascontiguousarray(weights.T)
    by_metric = {name: np.full((len(weights), len(of.ranked)), np.nan) for name in METRICS}
    for k, ranked in enumerate(of.ranked):
        objects = of.objects[k] @ across
        if not of.objects[k].any():
            continue
        values = np.stack([_average_precision(each, across, objects) for each in ranked])
        hits = np.stack([across[each.right].sum(axis=0) for each in ranked])
        known = objects > 0
        by_metric["map"][known, k] = values.mean(axis=0)[known]
        by_metric["map_50"][known, k], by_metric["map_75"][known, k] = values[0][known], values[5][known]
        by_metric["mar_100"][known, k] = (hits[:, known] / objects[known]).mean(axis=0)
    return by_metric


def _average_precision(of: _Ranked, across: Floats, objects: Floats) -> Floats:
    """AP at one IoU threshold for each weighting `(D,)`; whatever where there is no cell."""
    if not len(of.right):
        return np.zeros(across.shape[1])
    right = across[of.right].cumsum(axis=0)
    wrong = (of.wrong @ across).cumsum(axis=0)
    precision = right / (wrong + right + np.spacing(1))
    # The best precision at this recall or a higher one.
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    percent = 100 * right / np.maximum(objects, 1)
    whole = np.floor(percent)
    reached = whole + 1 - ((whole == percent) & ~_REACHED[whole.astype(np.int64)])
    reached[1:] -= reached[:-1].copy()  # how many of the 101 recalls each right detection is the first to reach
    return np.asarray((envelope * reached).sum(axis=0) / len(RECALLS), np.float64)
