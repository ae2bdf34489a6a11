"""Smears of any stain and light brought to one: their red cells, which are most of their cells, get one colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.filters import single_area

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
# Absorbance (natural logarithm) of a usual red cell in R, G, B: what all smears are brought to.
USUAL = np.array([0.15, 0.45, 0.30])
_FEWEST = 5
# How far a channel may be stretched: beyond it, the masks were no red cells.
_MOST = 4.0


def red_cell_densities(rgb: RgbImage, pieces: Sequence[Piece], cell_px: float) -> Floats:
    """Mean absorbance `(n, 3)` of the masks that are about as large as a red cell."""
    absorbance = absorbance_of(rgb)
    usual = [each for each in pieces if is_usual(each, cell_px)]
    return np.array([absorbance[each.window][each.mask].mean(axis=0) for each in usual]).reshape(-1, 3)


def is_usual(each: Piece, cell_px: float) -> bool:
    """Whether a mask is about as large as a red cell."""
    single = single_area(cell_px)
    return 0.5 * single <= each.area_px2 <= 1.6 * single


def reference_density(densities: Floats) -> Floats:
    """Absorbance of the red cells of a smear, `(3,)`: the median; `USUAL` where there are too few masks to tell."""
    return np.median(densities, axis=0) if len(densities) >= _FEWEST else USUAL


def normalised(rgb: RgbImage, reference: Floats, light: Floats | None = None) -> RgbImage:
    """Pixels `(H, W, 3) uint8` of a tile on white ground whose red cells have the usual absorbance.

    Args:
        rgb: a tile, or a part of one.
        reference: of `reference_density`.
        light: of the ground of the tile; None takes it from `rgb`.
    """
    scale = np.clip(USUAL / np.maximum(reference, 1e-3), 1 / _MOST, _MOST)
    return np.asarray(np.clip(255 * np.exp(-absorbance_of(rgb, light) * scale), 0, 255), np.uint8)


def ground_light(rgb: RgbImage) -> Floats:
    """Light of the ground of a tile, `(3,)`."""
    return np.asarray(np.percentile(rgb[::2, ::2].reshape(-1, 3), 90, axis=0), np.float64)


def absorbance_of(rgb: RgbImage, light: Floats | None = None) -> Floats:
    """Absorbance `(H, W, 3)`, natural logarithm, against the light of the ground; None takes it from `rgb`."""
    light = ground_light(rgb) if light is None else light
    return np.asarray(-np.log(np.clip(rgb, 1, 255) / np.maximum(light, 1)), np.float64)
