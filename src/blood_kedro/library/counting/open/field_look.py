"""What is measured of a field to say whether it is fit for counting: how covered, how crowded, how sharp."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.imaging.segmentation import foreground

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
BoolMask = npt.NDArray[np.bool_]
# Fields are looked at with red cells of this width at most, px: enough for rims and gaps, and fast.
_LOOK_PX = 24.0
# Two cells that lie on each other absorb up to twice as much as one: so many times more than stained pixels of which a
# quarter is darker. Nuclei are darker still, or absorb so much more red for their green than red cells do.
_OVERLAP, _NUCLEUS, _NUCLEAR_RED = 1.4, 2.2, 0.25
# A field that is stained by less shows dust, or nothing.
_LEAST_COVERED = 0.02
# Of a field without cells the noise is divided in two: by 6 to 9 levels of green in generated ones. Cells of BCCD and
# Chula differ from their ground by 16 to 52.
_LEAST_CONTRAST = 12.0
# Noise of the camera is smoothed over so many px; OpenCV's kernel of slopes gives eight times the slope.
_NOISE_PX, _SOBEL = 0.7, 8


@dataclass(frozen=True)
class FieldLook:
    """What is measured of a field.

    Attributes:
        covered_share: of its pixels that are stained, 0 to 1.
        overlap_share: of its stained pixels that are as dark as two cells on each other and no nuclei, 0 to 1.
        focus: how steep the rims of cells are, in contrasts between cell and ground for a width of a red cell.
        error: why it could not be read; else empty.
    """

    covered_share: float
    overlap_share: float
    focus: float
    error: str = ""

    @property
    def shows_cells(self) -> bool:
        """Whether there is anything to judge its focus by."""
        return self.focus > 0 and self.covered_share >= _LEAST_COVERED


def look_at_field(rgb: RgbImage, cell_px: float) -> FieldLook:
    """Measure a field `(H, W, 3) uint8` whose red cells are `cell_px` wide."""
    zoom = min(1.0, _LOOK_PX / cell_px)
    size = max(1, round(rgb.shape[1] * zoom)), max(1, round(rgb.shape[0] * zoom))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8) if zoom < 1 else rgb
    width = cell_px * zoom
    mask = foreground(small, width)
    if mask.all() or not mask.any():
        return FieldLook(float(mask.mean()), 0.0, 0.0)
    light = np.asarray(cv2.GaussianBlur(small, (0, 0), _NOISE_PX), np.float32)
    contrast = float(light[~mask, 1].mean() - light[mask, 1].mean())
    if contrast < _LEAST_CONTRAST:
        return FieldLook(0.0, 0.0, 0.0)
    focus = _slope_of_rims(light[..., 1], mask) * width / contrast
    return FieldLook(float(mask.mean()), _overlap(light, mask), focus)


def _overlap(light: Floats, mask: BoolMask) -> float:
    """Share of stained pixels where cells lie on each other, by their absorbance (Beer-Lambert)."""
    ground = np.median(light[~mask], axis=0)
    absorbance = -np.log(np.maximum(light[mask], 1) / np.maximum(ground, 1))
    red, green = absorbance[:, 0], absorbance[:, 1]
    usual = max(float(np.percentile(green, 75)), 1e-3)
    red_for_green = red / np.maximum(green, 0.02)
    nuclear = (red_for_green > np.median(red_for_green) + _NUCLEAR_RED) | (green > _NUCLEUS * usual)
    return float(((green > _OVERLAP * usual) & ~nuclear).mean())


def _slope_of_rims(green: Floats, mask: BoolMask) -> float:
    """How many levels light changes by, for a px, at the rims of cells."""
    rim = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    slopes = np.hypot(cv2.Sobel(green, cv2.CV_32F, 1, 0), cv2.Sobel(green, cv2.CV_32F, 0, 1)) / _SOBEL
    return float(slopes[rim].mean())
