"""Smears of any stain and light brought to one: their red cells, which are most of their cells, get one colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.filters import single_area
from blood_kedro.library.counting.pieces import Piece

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
# Absorbance (natural logarithm) of a usual red cell in R, G, B: what all smears are brought to.
USUAL = np.array([0.15, 0.45, 0.30])
_FEWEST = 5
# How far a channel may be stretched: beyond it, the masks were no red cells.
_MOST = 4.0


def red_cell_densities(rgb: RgbImage, pieces: Sequence[Piece], cell_px: float) -> Floats:
    """Mean absorbance `(n, 3)` of the masks that are about as large as a red cell."""
    absorbance = _absorbance(rgb)
    single = single_area(cell_px)
    usual = [each for each in pieces if 0.5 * single <= each.area_px2 <= 1.6 * single]
    return np.array([absorbance[each.window][each.mask].mean(axis=0) for each in usual]).reshape(-1, 3)


def reference_density(densities: Floats) -> Floats:
    """Absorbance of the red cells of a smear, `(3,)`: the median; `USUAL` where there are too few masks to tell."""
    return np.median(densities, axis=0) if len(densities) >= _FEWEST else USUAL


def normalised(rgb: RgbImage, reference: Floats) -> RgbImage:
    """A tile `(H, W, 3) uint8` on white ground whose red cells have the usual absorbance."""
    scale = np.clip(USUAL / np.maximum(reference, 1e-3), 1 / _MOST, _MOST)
    return np.asarray(np.clip(255 * np.exp(-_absorbance(rgb) * scale), 0, 255), np.uint8)


def _absorbance(rgb: RgbImage) -> Floats:
    """Absorbance `(H, W, 3)` against the light of the ground."""
    light = np.percentile(rgb[::2, ::2].reshape(-1, 3), 90, axis=0)
    return np.asarray(-np.log(np.clip(rgb, 1, 255) / np.maximum(light, 1)), np.float64)
