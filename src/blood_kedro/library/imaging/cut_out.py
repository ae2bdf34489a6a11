"""Cutting single cells out of fields, as what they do to light: absorbance against the background beside them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.imaging.paste import FAINT, BoolMask, Box, FieldColour, RgbImage, otsu

# A cell whose surroundings are darker than this share of the field's light lies in a crowd: it has no clean outline.
_CLEAN_GROUND = 0.8


def cut_out(rgb: RgbImage, box: Box, label: str, cell_px: float, colour: FieldColour, origin: str) -> CellPatch | None:
    """Cut the cell out of its box; None where it has no outline of its own (crowded, cut by the border, too faint)."""
    x_min, y_min, x_max, y_max = box
    pad = 0.15 * max(x_max - x_min, y_max - y_min) + 2
    left, top, right, bottom = (round(v) for v in (x_min - pad, y_min - pad, x_max + pad, y_max + pad))
    inside = colour.content
    if left < inside[0] or top < inside[1] or right > inside[2] or bottom > inside[3]:
        return None
    patch = rgb[top:bottom, left:right].astype(np.float32)
    ring = np.ones(patch.shape[:2], np.bool_)
    ring[3:-3, 3:-3] = False
    ground = np.percentile(patch[ring], 75, axis=0)
    if (ground < _CLEAN_GROUND * np.asarray(colour.light)).any():
        return None
    density = -np.log(np.maximum(patch, 1) / np.maximum(ground, 1))
    mask = _central_mask(density)
    if mask is None:
        return None
    soft = cv2.GaussianBlur(ndimage.binary_dilation(mask).astype(np.float32), (0, 0), 0.8)
    absorbance = np.asarray(np.clip(density, 0, None) * soft[..., None], np.float32)
    return CellPatch(label, absorbance, mask, cell_px, colour.red_od, origin)


def _central_mask(density: npt.NDArray[np.float32]) -> BoolMask | None:
    """The component in the middle of a patch, if it is one clear cell."""
    strength = np.asarray(np.clip(density.max(axis=2) * 150, 0, 255), np.uint8)
    cells = ndimage.binary_opening(ndimage.binary_fill_holes(strength > otsu(strength)))
    parts = ndimage.label(cells)[0]
    height, width = parts.shape
    middle = parts[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1]
    pixel_counts = np.bincount(middle[middle > 0]) if (middle > 0).any() else np.zeros(0, np.int64)
    if not pixel_counts.any():
        return None
    mask = np.asarray(parts == pixel_counts.argmax(), np.bool_)
    if float(np.median(density.max(axis=2)[mask])) < FAINT:
        return None
    touches = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    return None if touches or not 0.12 < mask.mean() < 0.8 else mask
