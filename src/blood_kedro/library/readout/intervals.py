"""Numbers of a read-out with their 95% intervals: counts, shares and ratios of cells over the fields they lie in.

Cells of one field are more alike than cells of two, so fields are drawn whole (`evaluation.resampling`) where there are
enough of them. Few fields say nothing of how fields differ; then cells are taken as independent of each other:
Wilson's interval for shares (J. Am. Stat. Assoc. 22, 1927), Garwood's for counts (Biometrika 28, 1936). These are too
narrow where cells gather.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import gammaincinv, ndtri

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.evaluation.resampling import FEW_GROUPS, Limits, Statistic, intervals, ratio

Floats = npt.NDArray[np.float64]
Method = Literal["fields", "cells", "wilson", "poisson", "none"]
_UNIT = "fields"
LEVEL = 0.95


class Result(BaseModel):
    """Part of a read-out: it does not change, and holds nothing that its documentation does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Number(Result):
    """A number with its 95% interval."""

    value: float | None = Field(description="null where it is undefined: nothing to divide by")
    low: float | None = Field(None, description="lower limit of the 95% interval; null where there is none")
    high: float | None = Field(None, description="upper limit")
    method: Method = Field(
        "none",
        description="what the interval rests on: `fields` drawn whole, or cells taken as independent of each other "
        "(`cells` drawn one by one, `wilson` for shares and ratios, `poisson` for counts)",
    )


@dataclass(frozen=True)
class Drawing:
    """How fields are drawn: `resamples` draws (0: never, cells are taken as independent), and their `seed`."""

    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Fields:
    """The fields of a table of cells, numbered.

    Attributes:
        numbers: `(N,)`, field of each cell, from 0.
        count: how many fields were read, those without a cell included.
    """

    numbers: npt.NDArray[np.int64]
    count: int

    def sums(self, values: npt.ArrayLike) -> Floats:
        """Sum of a value of each cell `(N,)` over each field, `(count,)`."""
        return np.bincount(self.numbers, np.asarray(values, np.float64), self.count).astype(np.float64)


def fields_of(cells: pd.DataFrame, fields: pd.DataFrame) -> Fields:
    """Which field each cell lies in; tiles that could not be read are no fields.

    Args:
        cells: with `smear, tile`.
        fields: one row per tile, with `smear, tile`, and `error` where the log of tiles is in it.

    Raises:
        DataContractError: cells lie in tiles that are no fields.
    """
    read = fields[fields["error"].fillna("") == ""] if "error" in fields else fields
    known = {pair: number for number, pair in enumerate(_pairs(read))}
    missing = set(_pairs(cells)) - known.keys()
    if missing:
        raise DataContractError(
            "cells lie in tiles that the table of fields does not have, or says could not be read",
            got=", ".join(" of ".join(pair[::-1]) for pair in sorted(missing)[:3]),
            expected="cells and fields of one count",
        )
    return Fields(np.array([known[pair] for pair in _pairs(cells)], np.int64), len(known))


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["smear"].astype(str), table["tile"].astype(str), strict=True))


def count_of(sums: Floats, drawing: Drawing) -> Number:
    """How many cells fields like these hold, of the cells `(G,)` in each."""
    total = float(sums.sum())
    if total and len(sums) >= FEW_GROUPS and drawing.resamples:
        limits = _drawn(sums[:, None], drawing, lambda drawn: drawn, np.inf)
        if limits is not None:
            return Number(value=total, low=limits[0], high=limits[1], method="fields")
    low, high = poisson_limits(total)
    return Number(value=total, low=low, high=high, method="poisson")


def share_of(part: Floats, whole: Floats, drawing: Drawing, times: float = 1.0) -> Number:
    """Sum of a part over that of its whole, `(G,)` each, times a factor (100: percent); undefined without a whole."""
    above, below = float(part.sum()), float(whole.sum())
    if not below:
        return Number(value=None)
    value = above / below
    if 0 < above < below and _enough(whole, drawing):
        limits = _drawn(np.stack([part, whole], axis=1), drawing, _quotient, 1.0)
        if limits is not None:
            return _times(value, limits, "fields", times)
    return _times(value, wilson_limits(above, below), "wilson", times)


def ratio_of(first: Floats, second: Floats, drawing: Drawing, times: float = 1.0) -> Number:
    """Cells of one kind per cell of another, `(G,)` each, times a factor; undefined where there are none of the other.

    Without enough fields: Wilson's interval of the share of the first kind among both, as odds.
    """
    above, below = float(first.sum()), float(second.sum())
    if not below:
        return Number(value=None)
    value = above / below
    if above and _enough(second, drawing):
        pairs = np.stack([first, second], axis=1)
        limits = _drawn(pairs, drawing, _quotient, np.inf)
        if limits is not None:
            return _times(value, limits, "fields", times)
    low, high = wilson_limits(above, above + below)
    return _times(value, [low / (1 - low), high / (1 - high) if high < 1 else None], "wilson", times)


def wilson_limits(part: float, whole: float) -> list[float]:
    """Wilson's 95% limits of a share, 0..1; `whole` is above 0.

    Those of scipy's `binomtest`, which computes a test, too, and would be most of the time of a read-out.
    """
    z = float(ndtri((1 + LEVEL) / 2))
    share, weight = part / whole, z**2 / whole
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / whole + weight / (4 * whole))
    return [0.0 if part == 0 else middle - reach, 1.0 if part == whole else middle + reach]


def poisson_limits(count: float) -> list[float]:
    """Garwood's exact 95% limits of the mean of a Poisson count, by quantiles of the gamma distribution."""
    tail = (1 - LEVEL) / 2
    return [float(gammaincinv(count, tail)) if count else 0.0, float(gammaincinv(count + 1, 1 - tail))]


def _quotient(drawn: Floats) -> Floats:
    return ratio(drawn[:, :1], drawn[:, 1:])


def _enough(whole: Floats, drawing: Drawing) -> bool:
    return bool(np.count_nonzero(whole) >= FEW_GROUPS and drawing.resamples)


def _drawn(sums: Floats, drawing: Drawing, statistic: Statistic, most: float) -> Limits | None:
    drawn = intervals(
        lambda weights: statistic(weights @ sums),
        ("number",),
        len(sums),
        unit=_UNIT,
        resamples=drawing.resamples,
        seed=drawing.seed,
        within={"number": (0.0, most)},
    )
    return None if drawn.basis["method"]["number"] == "none" else drawn.limits["number"]


def _times(value: float, limits: Sequence[float | None], method: Method, times: float) -> Number:
    low, high = (None if limit is None else limit * times for limit in limits)
    return Number(value=value * times, low=low, high=high, method=method)
