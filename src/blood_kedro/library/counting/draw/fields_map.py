"""A slide as a map: where its fields were looked at, which of them are counted, and why others are not."""

from __future__ import annotations

import pandas as pd
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from blood_kedro.library.core.colours import GREY, PALE, POINTED_AT, TRUTH
from blood_kedro.library.counting.open.fields_fit import NOT_NEEDED
from blood_kedro.library.counting.open.smear import SlideReader, Smear
from blood_kedro.library.imaging.slide import overview

# Longest side of the picture behind the map, px.
_MOST_PX = 4096


def fields_map(smear: Smear, choice: pd.DataFrame) -> Figure:
    """Fields over the slide, or over nothing where it has no small level: green are counted, yellow fit and not needed.

    Args:
        smear: opened.
        choice: rows of `choose_fields` for it.

    Raises:
        BadInputError: the small level of the slide cannot be decoded.
    """
    width, height = smear.grid.width_px, smear.grid.height_px
    figure = Figure(figsize=(11, 2.0 + 8.5 * min(2.0, height / width)), layout="constrained")
    axis = figure.subplots()
    behind = overview(smear.read.file, _MOST_PX) if isinstance(smear.read, SlideReader) else None
    if behind is not None:
        axis.imshow(behind, extent=(0, width, height, 0), interpolation="antialiased")
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal", facecolor=PALE, xlabel="px", ylabel="px")
    counted, fit = choice["chosen"], choice["reason"].eq(NOT_NEEDED)
    kinds = ((TRUTH, "counted", counted), (POINTED_AT, "fit, not needed", fit), (GREY, "", ~counted & ~fit))
    legend: list[Patch] = []
    for colour, name, rows in kinds:
        boxes = choice.loc[rows, ["x_min_px", "y_min_px", "x_max_px", "y_max_px"]].to_numpy(int)
        fields = [Rectangle((x0, y0), x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
        axis.add_collection(PatchCollection(fields, facecolor=colour, edgecolor=colour, alpha=0.45))
        reasons = choice.loc[rows, "reason"].value_counts().to_dict() if not name else {name: int(rows.sum())}
        legend += [Patch(color=colour, alpha=0.6, label=f"{number} {reason}") for reason, number in reasons.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False)
    axis.set_title(f"{smear.name}: {int(counted.sum())} of {len(choice)} fields that were looked at are counted")
    return figure
