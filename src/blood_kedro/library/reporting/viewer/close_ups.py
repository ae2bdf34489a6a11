"""Cells of a picture that is shown smaller than it is, each at its full size: one sheet of close-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
# Side of a close-up, px, and how many a row of the sheet has; the gallery shows them so large.
SIDE_PX, COLUMNS = 72, 30
# Of a cell, so much of its longer side is shown.
_AROUND = 1.3
# Shown cells that are wider need none.
WIDE_PX = SIDE_PX / 2


@dataclass(frozen=True)
class CloseUps:
    """Close-ups of some cells of a picture.

    Attributes:
        rgb: the sheet `(h, w, 3) uint8`: squares of `SIDE_PX`, `COLUMNS` in a row.
        spots: number of the square of each cell by the number of the cell.
    """

    rgb: RgbImage
    spots: dict[int, int]


def close_up(rgb: RgbImage, box_xyxy_px: Sequence[float]) -> RgbImage:
    """A cell and what is around it, `(SIDE_PX, SIDE_PX, 3) uint8`; beyond the picture its border is continued.

    Args:
        rgb: `(H, W, 3) uint8`.
        box_xyxy_px: of the cell.
    """
    x0, y0, x1, y1 = box_xyxy_px
    side = max(4, round(_AROUND * max(x1 - x0, y1 - y0)))
    columns, rows = (round((low + high - side) / 2) + np.arange(side) for low, high in ((x0, x1), (y0, y1)))
    height, width = rgb.shape[:2]
    square = rgb[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)]
    how = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8)


def on_a_sheet(squares: dict[int, RgbImage]) -> CloseUps:
    """Close-ups by the numbers of their cells, put on one sheet."""
    rows = max(1, -(-len(squares) // COLUMNS))
    sheet = np.full((rows * SIDE_PX, COLUMNS * SIDE_PX, 3), 255, np.uint8)
    for spot, square in enumerate(squares.values()):
        top, left = spot // COLUMNS * SIDE_PX, spot % COLUMNS * SIDE_PX
        sheet[top : top + SIDE_PX, left : left + SIDE_PX] = square
    return CloseUps(sheet, {cell: spot for spot, cell in enumerate(squares)})
