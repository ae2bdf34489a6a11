"""A mask cut out: its pixels in the middle of a black square (Rao et al. 2024, section 3.3)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.pieces import Piece

RgbImage = npt.NDArray[np.uint8]


def cutout(rgb: RgbImage, piece: Piece, scale: float, side_px: int) -> RgbImage:
    """One mask of a tile as `(side, side, 3) uint8`, black around it.

    Args:
        rgb: the tile, `(H, W, 3) uint8`.
        piece: the mask in it.
        scale: px of the cutout for each px of the tile; a mask that is still too large is made to fit.
        side_px: of the cutout.
    """
    pixels = rgb[piece.window] * piece.mask[..., None]
    return framed(np.asarray(pixels, np.uint8), scale, side_px)


def framed(pixels: RgbImage, scale: float, side_px: int) -> RgbImage:
    """Pixels `(h, w, 3)`, scaled, in the middle of a black square."""
    height, width = pixels.shape[:2]
    scale = min(scale, side_px / max(height, width))
    if scale != 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)
        height, width = pixels.shape[:2]
    square = np.zeros((side_px, side_px, 3), np.uint8)
    top, left = (side_px - height) // 2, (side_px - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
