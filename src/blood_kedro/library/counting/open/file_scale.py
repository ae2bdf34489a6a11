"""Micrometres by what the files of smears say, where red cells are as wide as that makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blood_kedro.library.core.limits import MOST_SCALE_OFF, RED_CELL_UM
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SmearInput

# Smears whose pixels differ by more have no scale in common.
_ONE_SCALE = 1.02


def at_file_scale(options: SmearInput, smears: Sequence[Smear], rejects: RejectLog | None = None) -> SmearInput:
    """Options with `px_per_um` of the files, unless it is given, they say none or differ, or it cannot be right.

    Args:
        options: at the width of a red cell, `cell_px`, that was given or measured.
        smears: opened.
        rejects: gets a note where what files say is not used.
    """
    widths = np.array([smear.um_per_px for smear in smears])
    if options.px_per_um is not None or not len(widths) or np.isnan(widths).any():
        return options
    um_per_px = float(np.median(widths))
    cell_um = um_per_px * options.cell_px
    reason = ""
    if widths.max() > _ONE_SCALE * widths.min():
        reason = f"pixels are {widths.min():.3g} to {widths.max():.3g} um wide, and all are counted together"
    elif not 1 / MOST_SCALE_OFF <= cell_um / RED_CELL_UM <= MOST_SCALE_OFF:
        reason = f"red cells of {options.cell_px:.0f} px would be {cell_um:.1f} um wide"
    if not reason:
        return options.model_copy(update={"px_per_um": 1 / um_per_px})
    if rejects is not None:
        rejects.add(smears[0].file, "image", "noted", f"its scale ({smears[0].scale_from}) is not used: {reason}")
    return options


def likely_cell_px(smear: Smear) -> float | None:
    """Width of a usual red cell by the file alone, px; None where it says nothing."""
    return None if np.isnan(smear.um_per_px) else RED_CELL_UM / smear.um_per_px
