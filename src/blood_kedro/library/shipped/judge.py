"""How good found cells are, by group: average precision, counts, white cells in one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes, covered_share, iou
from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.shipped.cell_options import CLASSES
from blood_kedro.library.shipped.pictures import LabelledPicture

_RECALLS = np.linspace(0, 1, 101)
_RIGHT_IOU, _IGNORED_SHARE = 0.5, 0.5


@dataclass(frozen=True)
class Judged:
    """One class of one picture: scores of detections, which of them are right, how many cells there are, and counts."""

    group_id: str
    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    cells: int
    counted: int
    whole: int


def judge(picture: LabelledPicture, found: Detections, label: str, threshold: float) -> Judged:
    """Compare detections with labels, boxes in px of `picture.pixels`.

    A detection is right that meets a cell of its class at IoU 0.5, surest first, each cell once; one that lies mostly
    in a region that counts for nothing is left out. `whole` is the number of cells in whose inner half exactly one
    detection above the threshold, platelets aside, has its middle, and that is of the right class.
    """
    number = CLASSES.index(label)
    mine = found.labels == number + 1
    boxes, scores = found.boxes[mine], found.scores[mine]
    truth = picture.boxes[picture.labels == number]
    right = _matched(boxes, truth)
    void = ~right & (covered_share(boxes, picture.ignore) > _IGNORED_SHARE)
    sure = found.scores >= threshold
    return Judged(
        picture.group_id, scores[~void], right[~void], len(truth), int((scores[~void] >= threshold).sum()),
        _whole(truth, found.boxes[sure], found.labels[sure], number + 1),
    )  # fmt: skip


def _matched(boxes: Boxes, truth: Boxes) -> npt.NDArray[np.bool_]:
    overlap, free = iou(boxes, truth), np.ones(len(truth), np.bool_)
    right = np.zeros(len(boxes), np.bool_)
    for k in range(len(boxes)):
        best = np.where(free, overlap[k], 0)
        if len(truth) and best.max() >= _RIGHT_IOU:
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


def average_precision(judged: Sequence[Judged]) -> float:
    """AP at IoU 0.5 by COCO's rule (101 points); NaN without a cell."""
    return float(_average_precision(judged, np.ones(len(judged))))


def _average_precision(judged: Sequence[Judged], weight: npt.NDArray[np.float64]) -> float:
    cells = float(sum(w * each.cells for w, each in zip(weight, judged, strict=True)))
    if cells == 0:
        return float("nan")
    scores = np.concatenate([each.scores for each in judged])
    right = np.concatenate([each.right for each in judged])
    w = np.repeat(weight, [len(each.scores) for each in judged])
    order = np.argsort(-scores, kind="stable")
    return _area(np.cumsum((w * right)[order]), np.cumsum(w[order]), cells)


def _area(hits: npt.NDArray[np.float64], shown: npt.NDArray[np.float64], cells: float) -> float:
    precision = np.maximum.accumulate((hits / np.maximum(shown, 1e-9))[::-1])[::-1]
    at = np.searchsorted(hits / cells, _RECALLS - 1e-12)
    return float(np.where(at < len(precision), np.append(precision, 0)[at], 0).mean())


def interval(
    judged: Sequence[Judged], measure: Callable[[Sequence[Judged]], float], draws: int, seed: int
) -> tuple[float, float]:
    """95% percentile interval of a measure over resampled groups; NaN where no draw has a value."""
    groups: dict[str, list[Judged]] = {}
    for each in judged:
        groups.setdefault(each.group_id, []).append(each)
    members, rng = list(groups.values()), np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        drawn = rng.integers(0, len(members), len(members)) if members else []
        values.append(measure([each for k in drawn for each in members[k]]))
    defined = [value for value in values if np.isfinite(value)]
    if not defined:
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
