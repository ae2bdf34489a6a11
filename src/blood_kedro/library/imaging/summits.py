"""Summits of a smooth map: what rises above all that surrounds it by a least height."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# So many steps fill the summits of cells; a map of another kind is left to the algorithm that is fast for any.
_STEPS, _MOST_STEPS = 8, 512


def summits(heights: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.bool_]:
    """Pixels of the summits that rise by `least` or more, `(H, W) bool` as `heights`.

    The same as `skimage.morphology.h_maxima`, whose reconstruction sorts all pixels. Here the lowered map grows by a
    pixel a step until nothing changes: summits of cells are a few pixels wide, so that few steps are enough.
    """
    heights = np.ascontiguousarray(heights)
    if least > np.ptp(heights):
        return np.zeros(heights.shape, np.bool_)
    # As in h_maxima: lower by a hair more, so that rounding leaves no pixel above.
    lowered = np.asarray(heights - least - 2 * np.finfo(heights.dtype).resolution * np.abs(heights), np.float32)
    return np.asarray(heights.astype(np.float64) - _grown_under(lowered, heights) >= least, np.bool_)


def _grown_under(seed: npt.NDArray[np.float32], ceiling: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    """Grey-level reconstruction by dilation (Vincent 1993) of `seed` under `ceiling`, neighbours also at corners."""
    square = np.ones((3, 3), np.uint8)
    grown = seed
    for _ in range(_MOST_STEPS // _STEPS):
        before = grown
        for _ in range(_STEPS):
            grown = np.minimum(cv2.dilate(grown, square), ceiling)
        if np.array_equal(before, grown):
            return grown
    from skimage.morphology import reconstruction

    return np.asarray(reconstruction(grown, ceiling), np.float64)
