"""The shipped cell detector as a segmenter of counting: a box says that there is a cell, stain says where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.pieces import Piece, piece
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.imaging.segmentation import foreground, split_instances
from blood_kedro.library.shipped.bundle import shipped_digest
from blood_kedro.library.shipped.cells import CellDetector
from blood_kedro.library.shipped.load import load

# A mask that fills less of its box is not the cell's: the cell is too pale, or the stain runs into a neighbour.
_LEAST_FILL = 0.4


@dataclass(frozen=True)
class ShippedSegmenter:
    """Masks of the cells of a tile. It loads its model where it is called: in a worker process, not before.

    Args:
        cell_px: width of a red cell, px of the tile.
    """

    cell_px: float

    @cached_property
    def _cells(self) -> CellDetector:
        cells: CellDetector = load("cells")
        return cells

    def __call__(self, _name: str, rgb: RgbImage, _rejects: RejectLog) -> list[Piece]:
        """One mask for each cell found: what is stained in its box, split from its neighbours; else an ellipse."""
        cells = self._cells.predict(rgb, self.cell_px)
        if not len(cells):
            return []
        middles = (cells.boxes[:, :2] + cells.boxes[:, 2:]) / 2
        labels = split_instances(foreground(rgb, self.cell_px), self.cell_px, middles)
        masks = [
            _mask(labels, number, box, float(score), kind)
            for number, (box, score, kind) in enumerate(zip(cells.boxes, cells.scores, cells.labels, strict=True), 1)
        ]
        return [each for each in masks if each is not None]

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights: tiles that another model segmented are not taken over."""
        return shipped_digest("cells")

    def __getstate__(self) -> dict[str, Any]:
        """Without the model."""
        return {"cell_px": self.cell_px}


def _mask(
    labels: npt.NDArray[np.integer[Any]], number: int, box: npt.NDArray[np.float64], score: float, kind: str
) -> Piece | None:
    height, width = labels.shape
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x1 <= x0 or y1 <= y0:
        return None
    inside = labels[y0:y1, x0:x1] == number
    if inside.mean() < _LEAST_FILL:
        yy, xx = np.mgrid[y0:y1, x0:x1] + 0.5
        middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = ((xx - middle_x) / (box[2] - box[0])) ** 2 + ((yy - middle_y) / (box[3] - box[1])) ** 2 < 0.25
    return piece(np.asarray(inside, np.bool_), x0, y0, score, kind)
