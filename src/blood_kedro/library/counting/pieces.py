"""What a segmenter finds in a tile: masks cut to their boxes, so that a hundred cost no more than their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

BoolMask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
# Neighbours also at corners, as OpenCV's components with connectivity 8.
EIGHT = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class Piece:
    """One mask: `mask (h, w) bool`, no empty row or column at its edge; its top left corner in px of its frame.

    `score` is what the segmenter thinks of it (SAM's predicted IoU), NaN where it thinks nothing; `kind` is what it
    says that the mask is, None where it does not tell kinds apart.
    """

    left: int
    top: int
    mask: BoolMask
    score: float = float("nan")
    kind: str | None = None

    @property
    def area_px2(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def box_xyxy_px(self) -> tuple[int, int, int, int]:
        """Half-open box."""
        height, width = self.mask.shape
        return self.left, self.top, self.left + width, self.top + height

    @property
    def window(self) -> tuple[slice, slice]:
        """Its place, as an index into its frame."""
        x_min, y_min, x_max, y_max = self.box_xyxy_px
        return slice(y_min, y_max), slice(x_min, x_max)

    @property
    def centre_xy_px(self) -> tuple[float, float]:
        """Centre of its pixels."""
        rows, columns = np.nonzero(self.mask)
        return self.left + float(columns.mean()) + 0.5, self.top + float(rows.mean()) + 0.5

    def moved(self, right: int, down: int) -> Piece:
        """The same in a frame whose origin lies so much further to the left and top."""
        return Piece(self.left + right, self.top + down, self.mask, self.score, self.kind)

    def clipped(self, box: tuple[int, int, int, int]) -> Piece | None:
        """The part inside a half-open box of its frame; None if no pixel is."""
        x_min, y_min, x_max, y_max = box
        part = self.mask[
            max(0, y_min - self.top) : max(0, y_max - self.top), max(0, x_min - self.left) : max(0, x_max - self.left)
        ]
        return piece(part, max(self.left, x_min), max(self.top, y_min), self.score, self.kind)


def piece(
    mask: BoolMask, left: int = 0, top: int = 0, score: float = float("nan"), kind: str | None = None
) -> Piece | None:
    """A mask in a frame as a piece, cut to its box; None if it is empty.

    Args:
        mask: `(h, w) bool`.
        left: of the mask in the frame; `top` likewise.
        top: see `left`.
        score: of the segmenter.
        kind: what the segmenter says that it is.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Piece(left + int(columns[0]), top + int(rows[0]), np.ascontiguousarray(cut), score, kind)


def pieces_of_labels(labels: Labels) -> list[Piece]:
    """One piece for each label above 0 that has pixels, `labels (H, W) int32`."""
    from scipy import ndimage

    pieces = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            rows, columns = window
            pieces.append(Piece(columns.start, rows.start, labels[window] == number))
    return pieces


def solidity(mask: BoolMask) -> float:
    """Share of a mask's convex hull that the mask fills, 0..1."""
    outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    hull = cv2.convexHull(np.concatenate(outlines))
    # A hull through the middles of border pixels is half a pixel short on every side.
    area = cv2.contourArea(hull) + cv2.arcLength(hull, closed=True) / 2 + 1
    return min(1.0, int(np.count_nonzero(mask)) / area)


def paint(pieces: Iterable[Piece], height_px: int, width_px: int) -> Labels:
    """Labels `(H, W) int32` from 1 in the order of the pieces; later ones cover earlier ones."""
    labels = np.zeros((height_px, width_px), np.int32)
    for number, each in enumerate(pieces, start=1):
        labels[each.window][each.mask] = number
    return labels


def overlaps(pieces: Sequence[Piece], others: Sequence[Piece] | None = None) -> dict[tuple[int, int], int]:
    """Pixels that pairs have in common, `(i, j) -> px^2`, only where boxes meet; i < j within one list.

    Pairs whose boxes do not meet are never looked at: a tile with 178 masks takes two milliseconds.
    """
    same = others is None
    second = pieces if others is None else others
    if not pieces or not second:
        return {}
    a, b = (np.array([each.box_xyxy_px for each in group]) for group in (pieces, second))
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    meet = (low < high).all(axis=2)
    if same:
        meet &= np.triu(np.ones_like(meet), 1)
    shared: dict[tuple[int, int], int] = {}
    for i, j in np.argwhere(meet).tolist():
        (x0, y0), (x1, y1) = low[i, j], high[i, j]
        one, other = pieces[i], second[j]
        both = (
            one.mask[y0 - one.top : y1 - one.top, x0 - one.left : x1 - one.left]
            & other.mask[y0 - other.top : y1 - other.top, x0 - other.left : x1 - other.left]
        )
        count = int(np.count_nonzero(both))
        if count:
            shared[i, j] = count
    return shared
