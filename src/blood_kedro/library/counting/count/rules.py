"""From masks to a number of cells: Rao et al. 2024's rule on areas, one that holds on single fields, and instances."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from blood_kedro.library.evaluation.resampling import Floats, Intervals, intervals

# The code of Rao et al. 2024 knows at most three thresholds.
_MOST_THRESHOLDS = 3
_GRID = 1000
_AT_ONCE = 2000  # areas, of which each meets the whole grid
# Areas within this share of the mode count as single cells when the mode is refined; as many rounds.
_AROUND_MODE, _ROUNDS = 0.35, 8
MOST_CELLS = 4
# A mask larger than so many single cells is looked at again; debris is smaller than so many.
OVERSIZED, DEBRIS = 1.35, 0.45


@dataclass(frozen=True)
class RedCells:
    """The red cells of a smear, as a count rule sees them.

    Attributes:
        areas_px2: `(N,)` of each joined mask.
        solidities: `(N,)`, share of its convex hull that each fills, 0..1.
        clumps: `(N,)`, number of the group of touching red cells that each lies in.
        single_area_px2: of a single cell; NaN where nobody knows.
        told_apart: whether a detector found them, which tells overlapping cells apart.
    """

    areas_px2: Floats
    solidities: Floats
    clumps: npt.NDArray[np.int64]
    single_area_px2: float
    told_apart: bool = False

    @property
    def clump_areas_px2(self) -> Floats:
        """`(M,)` area of each clump, in ascending order of its number."""
        positions = np.unique(self.clumps, return_inverse=True)[1]
        return np.bincount(positions, self.areas_px2).astype(np.float64)


@dataclass(frozen=True)
class CountRule:
    """A way from masks to a number of cells.

    Attributes:
        per: whether each joined mask has a number, or each clump.
        cells: red cells of a smear to how many cells each mask `(N,)`, or each clump `(M,)`, stands for; its docstring
            says what the rule is.
    """

    per: Literal["mask", "clump"]
    cells: Callable[[RedCells], npt.NDArray[np.int64]]

    def __post_init__(self) -> None:
        """What the documentation lists of it."""
        object.__setattr__(self, "__doc__", self.cells.__doc__)


@dataclass(frozen=True)
class KdeRule:
    """Thresholds on area, px^2, ascending; `grid` and `density` are the curve they were found on (Fig. 6)."""

    thresholds: tuple[float, ...]
    grid: Floats
    density: Floats


def kde_peaks(areas: Floats) -> KdeRule:
    """Thresholds midway between the first peaks of a Gaussian density of areas (Rao et al. 2024, section 3.6).

    Scott's bandwidth, 1,000 points from the smallest to the largest area, every peak however flat, at most three
    thresholds: as its code does. With fewer than three areas, or equal ones, there is no density and no threshold.
    """
    if len(areas) < 3 or np.ptp(areas) == 0:
        return KdeRule((), np.zeros(0), np.zeros(0))
    grid = np.linspace(areas.min(), areas.max(), _GRID)
    density = _density(areas, grid)
    peaks = grid[_peaks(density)]
    middles = (peaks[:-1] + peaks[1:]) / 2
    return KdeRule(tuple(float(v) for v in middles[:_MOST_THRESHOLDS]), grid, density)


def _density(areas: Floats, grid: Floats) -> Floats:
    """SciPy's `gaussian_kde`, without `scipy.stats`, which takes longer to import than a field to count."""
    width = float(np.std(areas, ddof=1)) * len(areas) ** -0.2
    total = np.zeros(len(grid))
    for start in range(0, len(areas), _AT_ONCE):
        total += np.exp(-0.5 * ((grid[:, None] - areas[start : start + _AT_ONCE]) / width) ** 2).sum(axis=1)
    return np.asarray(total / (len(areas) * width * math.sqrt(2 * math.pi)), np.float64)


def _peaks(curve: Floats) -> npt.NDArray[np.int64]:
    """SciPy's `find_peaks`: places higher than both neighbours; of a level stretch its middle; never the ends."""
    starts = np.flatnonzero(np.diff(curve, prepend=np.nan))
    ends = np.append(starts[1:], len(curve)) - 1
    heights = curve[starts]
    inner = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])) + 1
    return np.asarray((starts[inner] + ends[inner]) // 2, np.int64)


def cells_by_kde(areas: Floats, rule: KdeRule) -> npt.NDArray[np.int64]:
    """One cell, and one more for each threshold that an area passes."""
    return np.asarray(1 + np.searchsorted(np.array(rule.thresholds), areas, side="left"), np.int64)


def single_cell_area(areas: Floats) -> float:
    """Area of a single cell: half-sample mode of its logarithm, then the median of what lies around; NaN without areas.

    The half-sample mode (Bickel and Fruehwirth, 2006) does not care how many clumps or how much debris there is, as
    long as single cells are the densest kind.
    """
    values = np.sort(np.log(areas[areas > 0]))
    if not len(values):
        return float("nan")
    while len(values) > 2:
        half = int(np.ceil(len(values) / 2))
        widths = values[half - 1 :] - values[: len(values) - half + 1]
        start = int(widths.argmin())
        values = values[start : start + half] if half < len(values) else values[:1]
    mode = float(np.exp(values.mean()))
    for _ in range(_ROUNDS):
        near = areas[np.abs(areas / mode - 1) < _AROUND_MODE]
        mode = float(np.median(near)) if len(near) else mode
    return mode


def cells_by_mode(areas: Floats, mode: float) -> npt.NDArray[np.int64]:
    """How many single cells an area is, 1 to 4; 0 for debris. All 1 where no mode is known."""
    if not np.isfinite(mode):
        return np.ones(len(areas), np.int64)
    cells = np.clip(np.rint(areas / mode), 1, MOST_CELLS)
    return np.asarray(np.where(areas < DEBRIS * mode, 0, cells), np.int64)


def cells_by_instance(areas: Floats, mode: float, solidities: Floats) -> npt.NDArray[np.int64]:
    """Each joined mask is a cell; only one that is oversized and not convex is several, by its area.

    Masks know more than areas: a macrocyte is large, but it is one cell and convex.
    """
    by_area = np.clip(np.rint(areas / mode), 1, MOST_CELLS) if np.isfinite(mode) else np.ones(len(areas))
    several = (areas > OVERSIZED * mode) & (solidities < _CONVEX)
    return np.asarray(np.where(several, np.maximum(by_area, 2), 1), np.int64)


_CONVEX = 0.93


def instances(red: RedCells) -> npt.NDArray[np.int64]:
    """Joined masks; one that is oversized and not convex is several, unless a detector told cells apart."""
    if red.told_apart:
        return np.ones(len(red.areas_px2), np.int64)
    return cells_by_instance(red.areas_px2, red.single_area_px2, red.solidities)


def by_kde_peaks(red: RedCells) -> npt.NDArray[np.int64]:
    """The rule of Rao et al. 2024: one cell in a clump, and one more for each threshold that its area passes."""
    return cells_by_kde(red.clump_areas_px2, kde_peaks(red.clump_areas_px2))


def by_mode(red: RedCells) -> npt.NDArray[np.int64]:
    """As many cells in a clump as single cells have its area."""
    return cells_by_mode(red.clump_areas_px2, red.single_area_px2)


INSTANCES = CountRule("mask", instances)
KDE_PEAKS = CountRule("clump", by_kde_peaks)
MODE = CountRule("clump", by_mode)


def count_interval(
    counts: npt.NDArray[np.int64], tiles: npt.NDArray[np.int64], fields: int, resamples: int, seed: int
) -> Intervals:
    """95% interval of the `count` of a smear over its tiles: how much it says of fields like these.

    The rule stays as it was found on the whole smear.

    Args:
        counts: cells of each mask, or of each component, by the rule that counts.
        tiles: the tile of each, from 0.
        fields: how many tiles there are, empty ones included; a single one gives no interval.
        resamples: draws of tiles.
        seed: of the draws.
    """
    sums = np.bincount(tiles, counts, fields)
    return intervals(
        lambda weights: weights @ sums[:, None],
        ("count",),
        fields,
        unit="tiles of the smear",
        resamples=resamples,
        seed=seed,
        within={"count": (0.0, np.inf)},
    )
