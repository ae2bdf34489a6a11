"""Boxes that somebody drew into a copy of an image, recovered from the difference of the two.

Rectangles are found from their straight sides, so that touching and overlapping ones come apart; what is left and
closed (ellipses, outlines drawn by hand) is found from the ground that it encloses.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.core.errors import BadInputError

RgbImage = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]

# A mark changes a pixel by more than JPEG noise does (levels of 255), and little of the picture is mark.
_CHANGE, _MOST_CHANGED = 48, 0.2
# Sides of marks are at least this long (px); a side of a rectangle is drawn for so much of its length.
_SHORTEST, _DRAWN = 10, 0.85
# Ends of the sides of one rectangle agree to so many px beyond the width of the line.
_SLACK = 3


@dataclass(frozen=True)
class Marks:
    """Boxes, half-open px through the middle of the drawn line, and marks that enclose nothing (arrows, strokes)."""

    boxes: list[Box]
    open_marks: int


@dataclass(frozen=True)
class _Side:
    """A straight stroke: its place across, where it begins and ends along, and how wide it is."""

    at: float
    start: int
    end: int
    width: int


def drawn_boxes(marked: RgbImage, plain: RgbImage) -> Marks:
    """Recover the boxes drawn into `marked`, a copy of `plain`, both `(H, W, 3) uint8`.

    Raises:
        BadInputError: the two do not show the same picture.
    """
    if marked.shape != plain.shape:
        raise BadInputError(f"the marked copy is {marked.shape[1]}x{marked.shape[0]}, the image is not")
    change = np.abs(marked.astype(np.int16) - plain.astype(np.int16)).max(axis=2)
    # What compression changes so much stands alone, in specks that are smaller than any mark.
    drawn = np.asarray(change > _CHANGE, np.bool_)
    if drawn.mean() > _MOST_CHANGED:
        raise BadInputError(f"{100 * drawn.mean():.0f}% of the pixels differ: the two do not show the same picture")
    labels, count = ndimage.label(drawn, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    drawn &= np.isin(labels, np.flatnonzero(sizes >= _SHORTEST))
    rectangles = _rectangles(drawn)
    remaining = drawn.copy()
    for x_min, y_min, x_max, y_max, width in rectangles:
        _erase(remaining, (x_min, y_min, x_max, y_max), width)
    outlines, left = _outlines(remaining)
    return Marks([(x0, y0, x1, y1) for x0, y0, x1, y1, _ in rectangles] + outlines, left)


def _sides(drawn: BoolMask, *, vertical: bool) -> list[_Side]:
    """Straight strokes that are longer than wide."""
    shape = (1, _SHORTEST) if vertical else (_SHORTEST, 1)
    long = cv2.morphologyEx(drawn.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, shape))
    labels, _ = ndimage.label(long)
    sides = []
    for place in ndimage.find_objects(labels):
        rows, columns = place
        along, across = (rows, columns) if vertical else (columns, rows)
        sides.append(_Side((across.start + across.stop) / 2, along.start, along.stop, across.stop - across.start))
    return [side for side in sides if side.end - side.start > 2 * side.width]


def _rectangles(drawn: BoolMask) -> list[tuple[float, float, float, float, int]]:
    """Pairs of vertical sides of one height, joined by a drawn top and bottom; smallest first, none made of others."""
    sides = sorted(_sides(drawn, vertical=True), key=lambda side: side.at)
    candidates = []
    for number, left in enumerate(sides):
        for right in sides[number + 1 :]:
            slack = max(left.width, right.width) + _SLACK
            same = abs(left.start - right.start) <= slack and abs(left.end - right.end) <= slack
            if not same or right.at - left.at < _SHORTEST:
                continue
            width = max(1, min(left.width, right.width))
            top, bottom = min(left.start, right.start) + width / 2, max(left.end, right.end) - width / 2
            if all(_share_drawn(drawn, left.at, right.at, y, width) >= _DRAWN for y in (top, bottom)):
                candidates.append((left.at, top, right.at, bottom, width))
    candidates.sort(key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    boxes: list[tuple[float, float, float, float, int]] = []
    for box in candidates:
        # Two that stand side by side and share their top and bottom lines make no third one.
        parts = [k for k in boxes if _inside(k, box) and abs(k[1] - box[1]) <= _SLACK and abs(k[3] - box[3]) <= _SLACK]
        if not parts:
            boxes.append(box)
    return boxes


def _inside(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(p >= q - _SLACK for p, q in zip(a[:2], b[:2], strict=True)) and all(
        p <= q + _SLACK for p, q in zip(a[2:4], b[2:4], strict=True)
    )


def _share_drawn(drawn: BoolMask, x_min: float, x_max: float, y: float, width: int) -> float:
    """How much of a horizontal line is drawn, wherever its ink lies within the width of the stroke."""
    first, last = round(x_min), round(x_max)
    reach = width // 2 + 2
    rows = drawn[max(0, round(y) - reach) : round(y) + reach + 1, first:last]
    return float(rows.any(axis=0).mean()) if rows.size else 0.0


def _erase(drawn: BoolMask, box: Box, width: int) -> None:
    x0, y0, x1, y1 = (round(v) for v in box)
    reach = width // 2 + 3
    height, across = drawn.shape
    for y in (y0, y1):
        drawn[max(0, y - reach) : min(height, y + reach + 1), max(0, x0 - reach) : x1 + reach + 1] = False
    for x in (x0, x1):
        drawn[max(0, y0 - reach) : y1 + reach + 1, max(0, x - reach) : min(across, x + reach + 1)] = False


def _outlines(drawn: BoolMask) -> tuple[list[Box], int]:
    """Boxes of closed outlines, and how many strokes enclose nothing."""
    closed = cv2.morphologyEx(drawn.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
    labels, _ = ndimage.label(closed, np.ones((3, 3)))
    boxes, open_marks = [], 0
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        shape = labels[place] == number
        holes, count = ndimage.label(ndimage.binary_fill_holes(shape) & ~shape)
        large = [hole for hole in ndimage.find_objects(holes) if _is_large(hole)] if count else []
        for rows, columns in large:
            # The line runs around the ground it encloses: half its width belongs to the box.
            ink = max(1.0, float(cv2.distanceTransform(np.pad(shape, 1).astype(np.uint8), cv2.DIST_L2, 3).max()))
            boxes.append(
                (
                    float(place[1].start + columns.start - ink),
                    float(place[0].start + rows.start - ink),
                    float(place[1].start + columns.stop + ink),
                    float(place[0].start + rows.stop + ink),
                )
            )
        if not large and shape.sum() >= 3 * _SHORTEST:
            open_marks += 1
    return boxes, open_marks


def _is_large(hole: tuple[slice, slice]) -> bool:
    return all(part.stop - part.start >= _SHORTEST for part in hole)
