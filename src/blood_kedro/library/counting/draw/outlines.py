"""Outlines of cells as they are drawn over a picture that was made smaller: few points, none lost at borders."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from blood_kedro.library.counting.pieces import Piece

Point = tuple[float, float]


def outlines(masks: Sequence[Piece], scale: float, tolerance_px: float = 0.6) -> list[list[Point]]:
    """The outer outline of each mask, in px of the shown picture, to a tenth of a pixel.

    Args:
        masks: px of the smear.
        scale: px of the shown picture for one of the smear.
        tolerance_px: points that change an outline by less than this, px of the shown picture, are left out.
    """
    return [_outline(mask, scale, tolerance_px) for mask in masks]


def _outline(piece: Piece, scale: float, tolerance_px: float) -> list[Point]:
    contours = cv2.findContours(np.pad(piece.mask, 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    largest = max(contours, key=len)  # of a mask in two parts
    points = cv2.approxPolyDP(largest, tolerance_px / scale, closed=True)[:, 0, :].astype(np.float64)
    # Middles of border pixels in a mask that was padded by one.
    return [
        (round((x - 0.5 + piece.left) * scale, 1), round((y - 0.5 + piece.top) * scale, 1)) for x, y in points.tolist()
    ]
