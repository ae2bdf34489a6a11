"""What the nodes of a count share: tables that a node was handed, as the library has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from blood_kedro.library.counting.options import SmearInput

if TYPE_CHECKING:
    from blood_kedro.library.counting.draw.looks import CornerLook
    from blood_kedro.library.counting.open.smear import Smear


def opened(options: SmearInput, tiles: pd.DataFrame) -> tuple[SmearInput, list[Smear]]:
    """The settings at the width of a red cell that was measured, and at the scale of the files; and the smears."""
    from blood_kedro.library.counting.open.file_scale import at_file_scale
    from blood_kedro.library.counting.open.table import smears_of

    smears = smears_of(tiles)
    return at_file_scale(options.model_copy(update={"cell_px": float(tiles["cell_px"].iloc[0])}), smears), smears


def corner_of(smear: Smear) -> CornerLook:
    """What the figure of a count shows."""
    from blood_kedro.library.counting.draw.figures import MOST_PX
    from blood_kedro.library.counting.draw.looks import CornerLook

    return CornerLook(smear.name, MOST_PX)


def as_counted(smear_counts: pd.DataFrame) -> pd.DataFrame:
    """Counts with their intervals as lists, which a table that was read from a file has as arrays."""
    limits = [None if each is None else [float(v) for v in each] for each in smear_counts["rbc_interval_95"]]
    return smear_counts.assign(rbc_interval_95=pd.Series(limits, index=smear_counts.index, dtype=object))
