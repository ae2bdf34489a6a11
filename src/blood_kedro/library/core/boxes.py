"""Axis-aligned boxes. Everywhere inside: `(N, 4) float64`, `x_min, y_min, x_max, y_max`, px, half-open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
BOX_COLUMNS = ["x_min_px", "y_min_px", "x_max_px", "y_max_px"]


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Area in px^2, `(N,)`."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float64)


def intersection(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Pairwise intersection area in px^2, `(len(a), len(b))`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2), np.float64)


def overlapping_pairs(boxes: Boxes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the two boxes of each pair that may overlap, every pair in both orders.

    Memory and time grow with the number of neighbours, not with the square of the number of boxes.
    """
    from scipy.spatial import cKDTree

    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    # From its middle, a box reaches every smaller one that touches it within its own longer side.
    near = cKDTree(centres).query_ball_point(centres, sides, p=np.inf)
    larger = np.repeat(np.arange(len(boxes)), [len(each) for each in near])
    other = np.concatenate([np.asarray(each, np.int64) for each in near]) if len(near) else larger
    pairs = np.concatenate([np.stack([larger, other], axis=1), np.stack([other, larger], axis=1)])
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    return pairs[:, 0], pairs[:, 1]


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Pairwise intersection over union, `(len(a), len(b))`; 0 where both boxes are empty."""
    inter = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0), np.float64)


def covered_share(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Share of each box of `a` that its best partner in `b` covers, `(len(a),)`; 0 where `b` is empty."""
    if len(a) == 0 or len(b) == 0:
        return np.zeros(len(a))
    return np.asarray(intersection(a, b).max(axis=1) / np.maximum(area(a), 1e-9), np.float64)


def from_coco(rows: Sequence[Mapping[str, Any]]) -> Boxes:
    """Boxes `(N, 4)` of COCO annotations or results, which give theirs as x, y, width, height."""
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
