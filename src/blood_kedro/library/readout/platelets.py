"""Platelets of a field, and what they may mean per microlitre."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from blood_kedro.library.readout.intervals import Drawing, Number, Result, count_of, fields_of, ratio_of

# Red cells in a microlitre of blood where nobody has measured them: the middle of what adults have (4-6 million; Bain,
# Blood Cells, 5th ed., 2015). The estimate is wrong by as much as this is.
RBC_PER_UL = 5.0e6
# A spot larger than so many median platelets is taken for several that lie together, or for a giant one.
_CLUMP_AREA = 3.0


class Platelets(Result):
    """Platelets, beside the red cells of the same fields."""

    platelets: int = Field(ge=0, description="as counted")
    red_cells: int = Field(ge=0, description="of the same fields, as counted")
    fields: int = Field(ge=0, description="tiles that were read; for a small picture, the picture")
    per_field: Number = Field(description="mean over the fields")
    per_1000_red_cells: Number = Field(description="of the same fields")
    per_ul: Number = Field(description="estimate: platelets per red cell, times `rbc_per_ul`")
    rbc_per_ul: float = Field(gt=0, description="red cells per microlitre that the estimate takes for granted")
    rbc_per_ul_given: bool = Field(description="whether somebody gave that; else it is the middle of what adults have")
    clumped: int = Field(ge=0, description="platelets that touch another")
    oversized: int = Field(ge=0, description="spots of over three median platelets: clumps in one piece, or giants")
    note: str = Field(description="what clumps mean for the estimate; empty without them")


def platelets(
    cells: pd.DataFrame, fields: pd.DataFrame, drawing: Drawing, rbc_per_ul: float | None = None
) -> Platelets:
    """Platelets of one smear, or of several together.

    Args:
        cells: of `settled`.
        fields: of `settled`, the tiles of these smears.
        drawing: how intervals are made.
        rbc_per_ul: red cells per microlitre, where they are known.
    """
    mine = cells[cells["label"] == "platelet"]
    red = cells[cells["label"] == "rbc"]
    places, red_places = fields_of(mine, fields), fields_of(red, fields)
    sums, red_sums = places.sums(np.ones(len(mine))), red_places.sums(red["counted"])
    areas = mine["area_px2"].to_numpy(np.float64) / mine.groupby("smear")["area_px2"].transform("median").to_numpy()
    clumped, oversized = mine["cells_in_clump"].gt(1).to_numpy(), areas > _CLUMP_AREA
    density = RBC_PER_UL if rbc_per_ul is None else rbc_per_ul
    together = int((clumped | oversized).sum())
    return Platelets(
        platelets=len(mine),
        red_cells=int(red_sums.sum()),
        fields=places.count,
        per_field=_per_field(count_of(sums, drawing), places.count),
        per_1000_red_cells=ratio_of(sums, red_sums, drawing, 1000),
        per_ul=ratio_of(sums, red_sums, drawing, density),
        rbc_per_ul=density,
        rbc_per_ul_given=rbc_per_ul is not None,
        clumped=int(clumped.sum()),
        oversized=int(oversized.sum()),
        note=f"{together} of {len(mine)} platelets lie in clumps: the estimate may be too low" if together else "",
    )


def _per_field(total: Number, fields: int) -> Number:
    if not fields:
        return Number(value=None)
    value, low, high = (None if each is None else each / fields for each in (total.value, total.low, total.high))
    return Number(value=value, low=low, high=high, method=total.method)
