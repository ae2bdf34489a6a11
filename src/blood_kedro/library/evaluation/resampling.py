"""How far a figure may be trusted: every interval of this project is a bootstrap over groups, made here.

What belongs together (images that show the same field, cells of a slide) is drawn together, with replacement: cells of
one slide are alike, and drawn one by one they would claim a precision that other slides do not keep (Field and Welsh,
J. R. Stat. Soc. B 69, 2007). A draw is a weight for each group: how often it came. A statistic is computed for many
weightings at once, so that 2,000 draws cost little.

Limits are bias-corrected and accelerated (Efron, J. Am. Stat. Assoc. 82, 1987): plain percentiles of the draws take the
bias of a metric twice, and AP on few cells is biased (decision 0012). Where BCa is undefined, or the draws are far to
one side of the value, they are basic: twice the value minus the opposite percentile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.evaluation.bca import LEVELS, bca_levels

Floats = npt.NDArray[np.float64]
Limits = list[float | None]
# Weights (D, G) to K numbers for each, (D, K); NaN where a weighting leaves one undefined.
Statistic = Callable[[Floats], Floats]
# Fewer groups than these say little of groups that were not seen: results carry a mark.
FEW_GROUPS = 10
SHARE = (0.0, 1.0)
IMAGES = "images, those that show the same field together"
SLIDES = "slides, or images that show the same field"
_CHUNK = 250
# The acceleration needs no more leave-outs than these; more groups are left out in blocks.
_BLOCKS = 400


@dataclass(frozen=True)
class Resampled:
    """A statistic of K numbers on a sample: its value `(K,)`, draws `(B, K)`, and leave-outs `(J, K)`."""

    point: Floats
    draws: Floats
    jackknife: Floats


@dataclass(frozen=True)
class Intervals:
    """95% limits by name, and what they rest on.

    Attributes:
        limits: low and high; None twice where there is no interval.
        basis: `unit` (what was drawn), `groups` (how many of them), `few_groups`, `draws`, and `method` by name: `bca`,
            `basic`, or `none`.
    """

    limits: dict[str, Limits]
    basis: dict[str, Any]


def resampled(statistic: Statistic, groups: int, resamples: int, seed: int) -> Resampled:
    """A statistic on the sample as it is, on `resamples` draws of its groups, and without each of them in turn.

    The same number of groups and the same seed give the same draws, whatever the statistic: differences of two systems
    are paired by subtracting theirs.
    """
    point = statistic(np.ones((1, groups)))[0]
    if groups < 2 or not resamples:
        return Resampled(point, *(np.zeros((0, len(point))) for _ in range(2)))
    draws = np.concatenate([statistic(weights) for weights in _drawn(groups, resamples, seed)])
    jackknife = np.concatenate([statistic(weights) for weights in _without_each(groups)])
    return Resampled(point, draws, jackknife)


def intervals(
    statistic: Statistic,
    names: Sequence[str],
    groups: int,
    *,
    unit: str,
    resamples: int,
    seed: int,
    within: Mapping[str, tuple[float, float]] | None = None,
) -> Intervals:
    """95% intervals of a statistic over groups.

    Args:
        statistic: of as many numbers as there are names.
        names: of its numbers.
        groups: how many there are; a single one gives no interval.
        unit: what a group is, in words.
        resamples: draws; 0 leaves intervals out.
        seed: of the draws.
        within: the range of a number, by name; 0..1 where it is not given.
    """
    sampled = resampled(statistic, groups, resamples, seed)
    ranges = within or {}
    by_name = {
        name: interval(sampled.point[k], sampled.draws[:, k], sampled.jackknife[:, k], ranges.get(name, SHARE))
        for k, name in enumerate(names)
    }
    return Intervals({name: limits for name, (limits, _) in by_name.items()}, basis(by_name, groups, unit, resamples))


def basis(by_name: Mapping[str, tuple[Limits, str]], groups: int, unit: str, resamples: int) -> dict[str, Any]:
    """What intervals rest on, as in `Intervals`."""
    return {
        "unit": unit,
        "groups": groups,
        "few_groups": groups < FEW_GROUPS,
        "draws": resamples,
        "method": {name: method for name, (_, method) in by_name.items()},
    }


def interval(
    point: float, draws: Floats, jackknife: Floats, within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[Limits, str]:
    """Low and high, and the method: `bca`, `basic`, or `none` where nothing is known.

    BCa is undefined where all draws lie on one side of the value, where no group matters, or where it asks for levels
    that the draws do not have. Draws biased by more than a quarter of their spread have basic limits, too.
    """
    known = draws[~np.isnan(draws)]
    if not len(known) or np.isnan(point):
        return [None, None], "none"
    levels = bca_levels(float(point), known, jackknife)
    if levels is None:
        high, low = 2 * point - np.quantile(known, LEVELS)
    else:
        low, high = np.quantile(known, levels)
    return [float(np.clip(low, *within)), float(np.clip(high, *within))], "basic" if levels is None else "bca"


def mean_intervals(
    values: Mapping[str, Floats],
    groups: npt.ArrayLike,
    *,
    unit: str,
    resamples: int,
    seed: int,
    within: Mapping[str, tuple[float, float]] | None = None,
) -> Intervals:
    """95% intervals of means: of `values` `(N,)` by name, of N things that belong to `groups` `(N,)`.

    The other arguments are those of `intervals`.
    """
    numbers, count = numbered(groups)
    sums = sums_by_group([*values.values(), np.ones(len(numbers))], numbers, count)

    def statistic(weights: Floats) -> Floats:
        drawn = weights @ sums
        return ratio(drawn[:, :-1], np.repeat(drawn[:, -1:], len(values), axis=1))

    return intervals(statistic, list(values), count, unit=unit, resamples=resamples, seed=seed, within=within)


def mean_error_intervals(
    difference: Floats, groups: npt.ArrayLike, resamples: int, seed: int, unit: str = IMAGES
) -> Intervals:
    """95% intervals of `mean_absolute_error` and `bias`, from counted minus true `(N,)` in images of some groups."""
    values = {"mean_absolute_error": np.abs(difference), "bias": difference}
    within = {"mean_absolute_error": (0.0, math.inf), "bias": (-math.inf, math.inf)}
    return mean_intervals(values, groups, unit=unit, resamples=resamples, seed=seed, within=within)


def paired_difference(first: dict[str, Any], second: dict[str, Any], name: str) -> tuple[float, Limits] | None:
    """Second minus first in a metric, with its 95% interval over the same draws of groups.

    Args:
        first: of `detection_metrics`, on some images with some seed.
        second: another detector's, on the same images with the same seed.
        name: `map`, `map_50`, `map_75` or `mar_100`.

    Returns:
        None where one of the two is undefined or has no draws.
    """
    draws, left_out = ([_values(m, part, name) for m in (first, second)] for part in ("bootstrap", "jackknife"))
    if first[name] is None or second[name] is None or not len(draws[0]) or len(draws[0]) != len(draws[1]):
        return None
    difference = second[name] - first[name]
    jackknife = left_out[1] - left_out[0] if len(left_out[0]) == len(left_out[1]) else np.zeros(0)
    return difference, interval(difference, draws[1] - draws[0], jackknife, (-1.0, 1.0))[0]


def excludes_zero(limits: Limits) -> bool:
    """Whether an interval of a difference lies on one side of 0."""
    low, high = limits
    return low is not None and high is not None and (low > 0 or high < 0)


def with_limits(value: float | None, limits: Limits, *, signed: bool = False, spread: str = "") -> str:
    """A figure and its interval as text, `0.310 [0.291, 0.329]`; dashes where either is undefined."""
    form = "+.3f" if signed else ".3f"
    shown, low, high = ("–" if number is None else format(number, form) for number in (value, *limits))
    return "–" if value is None else f"{shown}{spread} [{low}, {high}]"


def numbered(groups: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], int]:
    """The number of the group of each row, `(N,)`, and how many groups there are."""
    names, numbers = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    return np.asarray(numbers, np.int64), len(names)


def sums_by_group(parts: npt.ArrayLike, numbers: npt.NDArray[np.int64], groups: int) -> Floats:
    """Sums `(G, K)` of parts `(K, N)`: what statistics that are made of sums need to know of each group."""
    rows = [np.bincount(numbers, row, groups) for row in np.asarray(parts, np.float64)]
    return np.stack(rows, axis=1)


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where nothing is below."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0), np.float64)


def _values(metrics: dict[str, Any], part: str, name: str) -> Floats:
    return np.array(metrics.get(part, {}).get(name, []), np.float64)


def _drawn(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed_for(seed, "resampling"))
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        yield rng.multinomial(groups, np.full(groups, 1 / groups), count).astype(np.float64)


def _without_each(groups: int) -> Iterator[Floats]:
    block = np.arange(groups) % _BLOCKS
    for start in range(0, min(groups, _BLOCKS), _CHUNK):
        left_out = np.arange(start, min(start + _CHUNK, groups, _BLOCKS))
        yield (block != left_out[:, None]).astype(np.float64)
