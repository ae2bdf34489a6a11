"""Where cells lie: apart, in overlapping clumps, stacked in rouleaux, pushed aside by white cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.float64]
# Radii of a group to the offsets of its members from the first.
Layout = Callable[[Positions, np.random.Generator], Positions]

_TRIES = 40
# Centres of cells that must not overlap keep this many sums of radii apart.
_APART = 1.04


@dataclass(frozen=True)
class Arrangement:
    """Shares of red cells in overlapping clumps and in rouleaux, and of platelets in clumps; the rest keeps apart."""

    clumped: float
    stacked: float
    platelet_clumps: float


@dataclass
class Ground:
    """The free ground of an area `x_min, y_min, x_max, y_max` (px) and what already lies on it."""

    area: tuple[float, float, float, float]
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def random_spot(self, rng: np.random.Generator) -> Positions:
        """Any point of the area, `(2,)`."""
        return np.asarray(rng.uniform(self.area[:2], self.area[2:]), np.float64)

    def crowding(self, centres: Positions, radii: Positions) -> float:
        """Largest depth in px by which any of the cells would come too near to one that is there; 0 if none does."""
        if not self.taken:
            return 0.0
        there = np.asarray(self.taken)
        apart = np.abs(centres[:, None] - there[None, :, :2])
        # Opposite borders count as neighbours: else cells would gather along borders, where they meet fewer others.
        size = np.subtract(self.area[2:], self.area[:2])
        apart = np.minimum(apart, np.abs(size - apart))
        gaps = np.hypot(apart[..., 0], apart[..., 1])
        return float(np.clip(_APART * (radii[:, None] + there[None, :, 2]) - gaps, 0, None).max())

    def put(self, centres: Positions, radii: Positions) -> None:
        """Take the ground of these cells."""
        self.taken += [(float(x), float(y), float(r)) for (x, y), r in zip(centres, radii, strict=True)]


def place(
    radii: Positions, roles: npt.NDArray[np.str_], ground: Ground, arrangement: Arrangement, rng: np.random.Generator
) -> Positions:
    """Centres of all cells, `(n, 2)` px; every cell gets one.

    Nucleated cells are placed first, then platelets, then red cells, in groups: each on the first free spot of 40
    tries or else on the least crowded of them (a crowded smear does overlap). Red cells give way to nucleated ones.

    Args:
        radii: `(n,)` px.
        roles: `(n,)`, each `nucleated`, `platelet` or `red`.
        ground: area to fill; what is placed is put down there.
        arrangement: how cells gather.
        rng: source of chance.
    """
    centres = np.zeros((len(radii), 2))
    nucleated: list[tuple[float, float, float]] = []
    for role in ("nucleated", "platelet", "red"):
        members = rng.permutation(np.flatnonzero(roles == role))
        start = 0
        while start < len(members):
            size, layout = _next_group(role, arrangement, rng)
            group = members[start : start + size]
            start += len(group)
            offsets = layout(radii[group], rng)
            centres[group] = _free_spot(ground, offsets, radii[group], rng) + offsets
            if role == "red":
                centres[group] = _giving_way(centres[group], radii[group], nucleated)
            ground.put(centres[group], radii[group])
        if role == "nucleated":
            nucleated = list(ground.taken)
    return centres


def _free_spot(ground: Ground, offsets: Positions, radii: Positions, rng: np.random.Generator) -> Positions:
    best, least = ground.random_spot(rng), np.inf
    for _ in range(_TRIES):
        spot = ground.random_spot(rng)
        crowding = ground.crowding(spot + offsets, radii)
        if crowding < least:
            best, least = spot, crowding
        if crowding == 0:
            break
    return best


def _giving_way(centres: Positions, radii: Positions, nucleated: list[tuple[float, float, float]]) -> Positions:
    """Centres of red cells pushed off nucleated cells until they just touch."""
    for x, y, radius in nucleated:
        away = centres - (x, y)
        distance = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)
        missing = np.clip(radii + radius - distance, 0, None)
        centres = centres + away / distance[:, None] * missing[:, None]
    return centres


def _next_group(role: str, arrangement: Arrangement, rng: np.random.Generator) -> tuple[int, Layout]:
    """Size and layout of the next group, so that the shares of cells come out as asked."""
    if role == "nucleated":
        return 1, _alone
    if role == "platelet":
        clumps = arrangement.platelet_clumps
        # A clump holds 4 on average: choose it a quarter as often as its share of platelets asks for.
        return (int(rng.integers(3, 6)), clump_layout) if rng.random() < clumps / (4 - 3 * clumps) else (1, _alone)
    alone = max(1 - arrangement.clumped - arrangement.stacked, 0)
    weights = np.array([arrangement.clumped / 2.5, arrangement.stacked / 5.5, alone])
    form = rng.choice(3, p=weights / weights.sum())
    if form == 0:
        return int(rng.choice([2, 3, 4], p=[0.62, 0.26, 0.12])), clump_layout
    return (int(rng.integers(3, 9)), _stack) if form == 1 else (1, _alone)


def _alone(radii: Positions, rng: np.random.Generator) -> Positions:  # noqa: ARG001
    return np.zeros((len(radii), 2))


def clump_layout(radii: Positions, rng: np.random.Generator) -> Positions:
    """Each cell overlaps one that is already there, by 5 to 45% of a diameter."""
    offsets = np.zeros((len(radii), 2))
    for k in range(1, len(radii)):
        partner, angle = int(rng.integers(k)), rng.uniform(0, 2 * np.pi)
        distance = rng.uniform(0.55, 0.95) * (radii[k] + radii[partner])
        offsets[k] = offsets[partner] + distance * np.array([np.cos(angle), np.sin(angle)])
    return offsets


def _stack(radii: Positions, rng: np.random.Generator) -> Positions:
    """A rouleau: cells like coins, along a slightly bent line."""
    offsets = np.zeros((len(radii), 2))
    angle, spacing = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
    for k in range(1, len(radii)):
        angle += rng.normal(0, 0.15)
        offsets[k] = offsets[k - 1] + spacing * 2 * radii[k] * np.array([np.cos(angle), np.sin(angle)])
    return offsets
