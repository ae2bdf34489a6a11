"""The classical segmenter, as a count calls it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.watershed import watershed_pieces

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Watershed:
    """The classical segmenter."""

    options: SegmentationOptions

    def __call__(self, _name: str, rgb: RgbImage, _rejects: RejectLog) -> list[Piece]:
        """Cells of a tile; one that is narrower than a quarter of a cell has none."""
        if min(rgb.shape[:2]) < self.options.cell_px / 4:
            return []
        return watershed_pieces(rgb, self.options.watershed.model_copy(update={"cell_px": self.options.cell_px}))
