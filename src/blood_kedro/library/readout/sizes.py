"""Sizes of the red cells of a field: their distribution, and how many are small or large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from blood_kedro.library.core.limits import RED_CELL_UM
from blood_kedro.library.readout.grades import Grade, grade_of
from blood_kedro.library.readout.intervals import Drawing, Fields, Floats, Number, Result, fields_of, share_of
from blood_kedro.library.readout.scale import Scale

Unit = Literal["um", "px", "of_median"]
# A microcyte is smaller, a macrocyte larger than so many um across (Bain, Blood Cells, 5th ed., 2015, gives 6.0-8.5 um
# for a normal cell; 9.0 keeps flattened normal cells out). Without a scale in um the same in medians of the field.
MICROCYTE_UM, MACROCYTE_UM = 6.0, 9.0
_BINS = 20
# Fewer cells have no distribution.
_LEAST_CELLS = 20


class Distribution(Result):
    """Of one measure over cells."""

    unit: str = Field(description="`um`, `um2`, `px`, `px2`, or `of_median`: of the median of each smear")
    mean: float = Field(description="arithmetic mean")
    sd: float = Field(description="standard deviation, n - 1")
    cv_percent: float = Field(description="standard deviation over mean, percent")
    median: float = Field(description="50th percentile")
    p5: float = Field(description="5th percentile")
    p25: float = Field(description="25th percentile")
    p75: float = Field(description="75th percentile")
    p95: float = Field(description="95th percentile")
    bin_edges: tuple[float, ...] = Field(description="of the histogram, ascending, one more than bins")
    bin_cells: tuple[int, ...] = Field(description="cells in each bin; they sum to all cells")


class Sizes(Result):
    """Sizes of whole, single red cells."""

    cells: int = Field(ge=0, description="red cells that no border cuts, that touch no other, and count for one")
    diameter: Distribution | None = Field(description="of a circle of the same area; null for fewer than 20 cells")
    area: Distribution | None = Field(description="of the mask; null for fewer than 20 cells")
    microcytes_percent: Number = Field(description="of these cells; see `size_limits`")
    macrocytes_percent: Number = Field(description="of these cells; see `size_limits`")
    size_limits: str = Field(description="what counts as a microcyte and as a macrocyte here")
    microcytes_grade: Grade | None = Field(description="by ICSH 2015; null for fewer than 20 cells")
    macrocytes_grade: Grade | None = Field(description="by ICSH 2015; null for fewer than 20 cells")
    anisocytosis_percent: Number = Field(description="cells that are the one or the other")
    anisocytosis_grade: Grade | None = Field(description="by ICSH 2015, of that percent")


def sizes(cells: pd.DataFrame, fields: pd.DataFrame, scales: Mapping[str, Scale], drawing: Drawing) -> Sizes:
    """Sizes of the red cells of one smear, or of several together.

    In um where that is known of every smear; else in px for one smear; else, since pictures of several smears may be of
    several magnifications, in medians of the smear that a cell is of.

    Args:
        cells: of `settled`.
        fields: of `settled`, the tiles of these smears.
        scales: of each smear, by its name.
        drawing: how intervals are made.
    """
    single = cells[
        cells["label"].eq("rbc")
        & ~cells["at_border"].astype(bool)
        & cells["cells_in_clump"].eq(1)
        & cells["counted"].eq(1)
    ]
    places = fields_of(single, fields)
    diameters_px = 2 * np.sqrt(single["area_px2"].to_numpy(np.float64) / np.pi)
    smears = single["smear"].astype(str).to_numpy(object)
    um_per_px = np.array([scales[name].um_per_px or np.nan for name in smears], np.float64)
    relative = diameters_px / pd.Series(diameters_px).groupby(smears).transform("median").to_numpy(np.float64)
    in_um = bool(len(single)) and bool(np.isfinite(um_per_px).all())
    unit: Unit = "um" if in_um else "px" if len(set(smears)) <= 1 else "of_median"
    diameters = {"um": diameters_px * um_per_px, "px": diameters_px, "of_median": relative}[unit]
    judged = diameters if in_um else relative * RED_CELL_UM
    small, large = judged < MICROCYTE_UM, judged > MACROCYTE_UM
    shares = [_percent(each, places, drawing) for each in (small, large, small | large)]
    known = len(single) >= _LEAST_CELLS
    grades = [
        grade_of(name, each.value) if known and each.value is not None else None
        for name, each in zip(("microcyte", "macrocyte", "anisocytosis"), shares, strict=True)
    ]
    return Sizes(
        cells=len(single),
        diameter=_distribution(diameters, unit) if known else None,
        area=_distribution(np.pi / 4 * diameters**2 if unit != "of_median" else diameters**2, _SQUARED[unit])
        if known
        else None,
        microcytes_percent=shares[0],
        macrocytes_percent=shares[1],
        size_limits=_limits(in_um),
        microcytes_grade=grades[0],
        macrocytes_grade=grades[1],
        anisocytosis_percent=shares[2],
        anisocytosis_grade=grades[2],
    )


_SQUARED = {"um": "um2", "px": "px2", "of_median": "of_median"}


def _limits(in_um: bool) -> str:
    if in_um:
        return f"microcytes below {MICROCYTE_UM} um, macrocytes above {MACROCYTE_UM} um"
    low, high = MICROCYTE_UM / RED_CELL_UM, MACROCYTE_UM / RED_CELL_UM
    return (
        f"the scale in um is not known: microcytes below {low:.2f}, macrocytes above {high:.2f} of the median of their "
        "smear; a smear of small cells alone shows none"
    )


def _percent(chosen: npt.NDArray[np.bool_], places: Fields, drawing: Drawing) -> Number:
    return share_of(places.sums(chosen), places.sums(np.ones(len(chosen))), drawing, 100)


def _distribution(values: Floats, unit: str) -> Distribution:
    low, p5, p25, median, p75, p95, high = (float(v) for v in np.percentile(values, [0, 5, 25, 50, 75, 95, 100]))
    cells, edges = np.histogram(values, bins=_BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5))
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return Distribution(
        unit=unit,
        mean=mean,
        sd=sd,
        cv_percent=100 * sd / mean,
        median=median,
        p5=p5,
        p25=p25,
        p75=p75,
        p95=p95,
        bin_edges=tuple(float(edge) for edge in edges),
        bin_cells=tuple(int(number) for number in cells),
    )
