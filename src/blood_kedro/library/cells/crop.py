"""Cutting a square around a cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]


def crop_square(
    rgb: RgbImage, mask: BoolMask | None, centre_xy_px: tuple[float, float], crop_px: int, side_px: int
) -> tuple[RgbImage, BoolMask | None]:
    """A square of `crop_px` around a point, resized to `side_px`; what lies beyond the image repeats its border.

    Args:
        rgb: `(H, W, 3) uint8`.
        mask: `(H, W) bool`, or None.
        centre_xy_px: middle of the square.
        crop_px: its side in the image.
        side_px: side of what is returned.
    """
    left, top = (round(c - crop_px / 2) for c in centre_xy_px)
    height, width = rgb.shape[:2]
    pad = max(0, -left, -top, left + crop_px - width, top + crop_px - height)
    window = (slice(top + pad, top + pad + crop_px), slice(left + pad, left + pad + crop_px))
    way = cv2.INTER_AREA if side_px < crop_px else cv2.INTER_CUBIC
    padded = cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_REPLICATE) if pad else rgb
    pixels = np.asarray(cv2.resize(padded[window], (side_px, side_px), interpolation=way), np.uint8)
    if mask is None:
        return pixels, None
    whole = np.pad(mask, pad)[window].astype(np.float32)
    resized = cv2.resize(
        whole, (side_px, side_px), interpolation=cv2.INTER_AREA if side_px < crop_px else cv2.INTER_LINEAR
    )
    return pixels, np.asarray(resized >= 0.5, np.bool_)


def touches_border(mask: BoolMask) -> bool:
    """Whether a mask reaches the border of its image: the cell may go on beyond it."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
