"""Simulated cells as patches, for copy-paste into real fields."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.cell import HAEMOGLOBIN, DrawnCell
from blood_kedro.library.smears.kinds import draw
from blood_kedro.library.smears.styles import slide_style

# A red cell of 7.4 um, the usual size on Chula (docs/facts/data.md#chula-scale), is the scale.
_CHULA_CELL_UM = 7.4


def simulated_patches(classes: Sequence[str], per_class: int, px_per_um: float, seed: int) -> list[CellPatch]:
    """`per_class` cells of each class, of slides 1 to 25 in turn.

    Raises:
        UnknownLabelError: the simulator draws no such class.
    """
    patches = []
    for label in classes:
        for number in range(per_class):
            slide = number % 25 + 1
            style = slide_style(seed, slide)
            rng = np.random.default_rng(seed_for(seed, "cutout", label, number))
            cells = style.cells(px_per_um / style.magnification)
            cell, usual = draw(label, cells, rng), draw("normal_rbc", cells, rng)
            absorbance = cell.layers @ style.stains.matrix()
            blurred = np.asarray(cv2.GaussianBlur(absorbance, (0, 0), max(style.blur_px, 0.5)), np.float32)
            red, green, blue = (float(v) * _usual_amount(usual) for v in style.stains.haemoglobin)
            cell_px = _CHULA_CELL_UM * style.size * px_per_um
            patches.append(CellPatch(label, blurred, cell.mask, cell_px, (red, green, blue), "simulated"))
    return patches


def _usual_amount(cell: DrawnCell) -> float:
    return float(np.median(cell.layers[..., HAEMOGLOBIN][cell.mask]))
