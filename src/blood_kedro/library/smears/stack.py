"""Cells laid on one another: amounts of stain add up where they overlap."""

from __future__ import annotations

import numpy as np

from blood_kedro.library.smears.cell import HAEMOGLOBIN, LAYERS, DrawnCell, FloatImage


class Stack:
    """The stain of an area, filled cell by cell."""

    def __init__(self, height_px: int, width_px: int) -> None:
        self._layers = np.zeros((height_px, width_px, len(LAYERS)), np.float32)
        self._thickest = np.zeros((height_px, width_px), np.float32)

    def add(self, cell: DrawnCell, left: int, top: int) -> None:
        """Lay a cell down with its top left corner there (px); what lies outside is cut off."""
        height, width = self._thickest.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + cell.mask.shape[0], height), min(left + cell.mask.shape[1], width)
        if y0 >= y1 or x0 >= x1:
            return
        seen = cell.layers[y0 - top : y1 - top, x0 - left : x1 - left]
        self._layers[y0:y1, x0:x1] += seen
        np.maximum(self._thickest[y0:y1, x0:x1], seen[..., HAEMOGLOBIN], out=self._thickest[y0:y1, x0:x1])

    def layers(self, overlap_gain: float) -> FloatImage:
        """Amounts `(H, W, 6) float32`; of red cells under the thickest one only the share `overlap_gain` counts."""
        layers = self._layers.copy()
        layers[..., HAEMOGLOBIN] = self._thickest + overlap_gain * (layers[..., HAEMOGLOBIN] - self._thickest)
        return layers
