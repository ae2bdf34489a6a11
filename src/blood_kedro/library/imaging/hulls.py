"""Convex hulls of masks, pixel for pixel those of scikit-image (`image_convex` of `regionprops`)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

BoolMask = npt.NDArray[np.bool_]


def hull_image(mask: BoolMask) -> BoolMask:
    """Pixels whose centre lies in or on the convex hull of a mask, `(h, w) bool` as the mask.

    The hull is that of the middles of all pixel edges, as in scikit-image, so that a straight border keeps its place.

    Args:
        mask: `(h, w) bool`, at least one pixel, no empty row at its top or bottom.
    """
    height, width = mask.shape
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask.argmax(axis=1)[rows]
    right = width - 1 - mask[:, ::-1].argmax(axis=1)[rows]
    # Twice the coordinates: the middles of edges are whole numbers, and OpenCV's hull of whole numbers is exact.
    x = np.concatenate([2 * left - 1, 2 * left, 2 * left, 2 * right, 2 * right, 2 * right + 1])
    y = np.concatenate([2 * rows, 2 * rows - 1, 2 * rows + 1, 2 * rows - 1, 2 * rows + 1, 2 * rows])
    hull = cv2.convexHull(np.stack([x, y], axis=1).astype(np.int32))[:, 0]
    hull = np.roll(hull, -int(hull[:, 1].argmin()), axis=0)
    bottom = int(hull[:, 1].argmax())
    down, up = hull[: bottom + 1], np.concatenate([hull[bottom:], hull[:1]])[::-1]
    levels = 2 * np.arange(height)
    sides = np.stack([np.interp(levels, side[:, 1], side[:, 0]) for side in (down, up)]) / 2
    # A centre on the border counts; interpolation may miss it by a rounding error.
    first, last = sides.min(axis=0) - 1e-9, sides.max(axis=0) + 1e-9
    columns = np.arange(width)
    return np.asarray((columns >= first[:, None]) & (columns <= last[:, None]), np.bool_)
