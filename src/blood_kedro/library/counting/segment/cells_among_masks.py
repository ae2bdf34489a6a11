"""Which masks of a tile are cells: the one place that says so, for counts, references and cutouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.filters import REASONS, filter_as_published, filter_pieces, single_area
from blood_kedro.library.imaging.segmentation import flat_field_green

RgbImage = npt.NDArray[np.uint8]


def cells_among(
    pieces: Sequence[Piece], rgb: RgbImage, options: SegmentationOptions
) -> tuple[list[Piece], dict[str, int]]:
    """What is left of the masks of a tile by the rule that the options name, and how many each rule dropped."""
    height, width = rgb.shape[:2]
    if pieces and all(each.kind is not None for each in pieces):  # a detector's, which has judged them itself
        return list(pieces), dict.fromkeys(REASONS, 0)
    if options.filter_rule == "published":
        cells = filter_as_published(pieces, height, width)
        return cells, {"published": len(pieces) - len(cells)}
    absorbance = -np.log(np.clip(flat_field_green(rgb), 0.05, 2))
    # Spots that may be platelets stay until the classifier has seen them.
    limits = options.filter.model_copy(update={"min_area": min(options.min_platelet, options.filter.min_area)})
    return filter_pieces(pieces, limits, height, width, np.asarray(absorbance, np.float32), options.cell_px)


def without_spots(pieces: Sequence[Piece], height_px: int, width_px: int, options: SegmentationOptions) -> list[Piece]:
    """Masks of a tile that are large enough for a cell, or that the tile's border cuts."""
    least = options.filter.min_area * single_area(options.cell_px)
    return [
        each
        for each in pieces
        if each.area_px2 >= least
        or 0 in each.box_xyxy_px[:2]
        or each.box_xyxy_px[2] == width_px
        or each.box_xyxy_px[3] == height_px
    ]
