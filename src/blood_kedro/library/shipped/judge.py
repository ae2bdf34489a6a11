"""How good found cells are, by group: average precision, counts, white cells in one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes, covered_share, iou
from blood_kedro.library.core.limits import IGNORED_SHARE, RIGHT_IOU
from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.evaluation.accumulate import RECALLS
from blood_kedro.library.evaluation.resampling import IMAGES, Floats, intervals, numbered
from blood_kedro.library.shipped.cell_options import CLASSES
from blood_kedro.library.shipped.pictures import LabelledPicture


@dataclass(frozen=True)
class JudgedClass:
    """One class of one picture: scores of detections, which of them are right, how many cells there are, and counts."""

    group_id: str
    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    cells: int
    counted: int
    whole: int


def judge(picture: LabelledPicture, detections: Detections, label: str, threshold: float) -> JudgedClass:
    """Compare detections with labels, boxes in px of `picture.pixels`.

    A detection is right that meets a cell of its class at IoU 0.5, surest first, each cell once; one that lies mostly
    in a region that counts for nothing is left out. `whole` is the number of cells in whose inner half exactly one
    detection above the threshold, platelets aside, has its middle, and that is of the right class.
    """
    number = CLASSES.index(label)
    mine = detections.labels == number + 1
    boxes, scores = detections.boxes[mine], detections.scores[mine]
    truth = picture.boxes[picture.labels == number]
    right = _matched(boxes, truth)
    void = ~right & (covered_share(boxes, picture.ignore) > IGNORED_SHARE)
    sure = detections.scores >= threshold
    return JudgedClass(
        picture.group_id,
        scores[~void],
        right[~void],
        len(truth),
        int((scores[~void] >= threshold).sum()),
        _whole(truth, detections.boxes[sure], detections.labels[sure], number + 1),
    )


def _matched(boxes: Boxes, truth: Boxes) -> npt.NDArray[np.bool_]:
    overlap, free = iou(boxes, truth), np.ones(len(truth), np.bool_)
    right = np.zeros(len(boxes), np.bool_)
    for k in range(len(boxes)):
        best = np.where(free, overlap[k], 0)
        if len(truth) and best.max() >= RIGHT_IOU:
            right[k] = True
            free[best.argmax()] = False
    return right


def _whole(truth: Boxes, boxes: Boxes, labels: npt.NDArray[np.int64], number: int) -> int:
    """Cells in whose inner half exactly one detection has its middle, which has the right class."""
    cell = labels != CLASSES.index("platelet") + 1
    middles, labels = ((boxes[:, :2] + boxes[:, 2:]) / 2)[cell], labels[cell]
    count = 0
    for x0, y0, x1, y1 in truth:
        dx, dy = (x1 - x0) / 4, (y1 - y0) / 4
        inner = (middles >= (x0 + dx, y0 + dy)).all(axis=1) & (middles <= (x1 - dx, y1 - dy)).all(axis=1)
        count += bool(inner.sum() == 1 and labels[inner][0] == number)
    return count


# Of pictures and how often each is taken: a figure.
Measure = Callable[[npt.NDArray[np.float64]], float]


def average_precision(judged: Sequence[JudgedClass]) -> float:
    """AP at IoU 0.5 by COCO's rule (101 points); NaN without a cell."""
    return precision_of(judged)(np.ones(len(judged)))


def precision_of(judged: Sequence[JudgedClass]) -> Measure:
    """Average precision of pictures that are taken as often as a weight says; sorted once for all weights."""
    cells = np.array([each.cells for each in judged], np.float64)
    scores = np.concatenate([each.scores for each in judged])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([each.right for each in judged])[order]
    owner = np.repeat(np.arange(len(judged)), [len(each.scores) for each in judged])[order]

    def measure(weight: npt.NDArray[np.float64]) -> float:
        total = float(weight @ cells)
        if total == 0:
            return float("nan")
        hits, shown = np.cumsum(weight[owner] * right), np.cumsum(weight[owner])
        precision = np.maximum.accumulate((hits / np.maximum(shown, 1e-9))[::-1])[::-1]
        at = np.searchsorted(hits / total, RECALLS - 1e-12)
        return float(np.append(precision, 0)[at].mean())

    return measure


def count_error_of(judged: Sequence[JudgedClass]) -> Measure:
    """Mean absolute error of a picture's count, as a share of the mean count; NaN without a cell."""
    cells = np.array([each.cells for each in judged], np.float64)
    off = np.abs(np.array([each.counted for each in judged], np.float64) - cells)

    def measure(weight: npt.NDArray[np.float64]) -> float:
        total = float(weight @ cells)
        return float(weight @ off) / total if total else float("nan")

    return measure


def interval(
    judged: Sequence[JudgedClass], measure: Measure, draws: int, seed: int, most: float = np.inf
) -> tuple[float, float]:
    """95% interval of a measure over groups of pictures (`evaluation.resampling`); NaN twice where there is none.

    Args:
        judged: pictures.
        measure: what is measured, from 0 to `most`.
        draws: of the bootstrap.
        seed: of the bootstrap.
        most: the highest value that there is.
    """
    group, count = numbered([each.group_id for each in judged])

    def statistic(weights: Floats) -> Floats:
        return np.array([[measure(times[group])] for times in weights], np.float64)

    bootstrapped = intervals(
        statistic, ("value",), count, unit=IMAGES, resamples=draws, seed=seed, within={"value": (0.0, most)}
    )
    low, high = (float("nan") if limit is None else limit for limit in bootstrapped.limits["value"])
    return low, high
