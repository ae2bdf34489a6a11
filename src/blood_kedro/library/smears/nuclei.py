"""Forms of nuclei: unions of discs `(n, 3)`: x, y, radius in units of the cell's radius."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blood_kedro.library.smears.cell import Points, wavy

Range = tuple[float, float]
Nucleus = Callable[[np.random.Generator], Points]


def round_nucleus(radius: Range, offset: float) -> Nucleus:
    """Round with slight dents, up to `offset` from the centre."""

    def nucleus(rng: np.random.Generator) -> Points:
        size, turn = rng.uniform(*radius), rng.uniform(0, 2 * np.pi)
        away = min(offset * rng.random(), max(0.95 - size, 0))
        x, y = away * np.cos(turn), away * np.sin(turn)
        bulges = [
            (x + 0.13 * size * np.cos(t), y + 0.13 * size * np.sin(t), 0.88 * size)
            for t in rng.uniform(0, 2 * np.pi, 4)
        ]
        return np.array([(x, y, 0.9 * size), *bulges])

    return nucleus


def arc_nucleus(width: Range, sweep: Range, radius: Range) -> Nucleus:
    """A bent sausage: kidney, horseshoe or band, by its sweep in radians."""

    def nucleus(rng: np.random.Generator) -> Points:
        length, centre = rng.uniform(*sweep), rng.uniform(*radius)
        t = np.linspace(-length / 2, length / 2, 24)
        thick = rng.uniform(*width) * (1 + wavy(rng, 2 * np.pi * t / length, 0.08, range(2, 5)))
        turn = rng.uniform(0, 2 * np.pi)
        middle = centre * np.sin(length / 2) / (length / 2)  # the stroke's own centre of mass
        x, y = centre * np.cos(t) - 0.8 * middle, centre * np.sin(t)
        return np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y, thick], 1)

    return nucleus


def lobed_nucleus(count: tuple[int, int], size: Range, radius: Range) -> Nucleus:
    """Bean-shaped lobes along an arc, joined by filaments."""

    def nucleus(rng: np.random.Generator) -> Points:
        number = int(rng.integers(count[0], count[1] + 1))
        step = rng.uniform(0.8, 1.1) * (2.4 if number == 2 else 1.45)
        angles = np.arange(number) * step + rng.normal(0, 0.15, number) + rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(*radius, number)
        centres = np.stack([reach * np.cos(angles), reach * np.sin(angles)], 1)
        centres -= 0.5 * centres.mean(axis=0)
        discs: list[tuple[float, float, float]] = []
        for k, (x, y) in enumerate(centres):
            lobe, along = rng.uniform(*size), angles[k] + np.pi / 2 + rng.normal(0, 0.5)
            for shift in (-0.45, 0.0, 0.45):
                discs.append((x + shift * lobe * np.cos(along), y + shift * lobe * np.sin(along), 0.86 * lobe))
            if k:
                thread = rng.uniform(0.05, 0.08)
                for share in np.linspace(0, 1, 10):
                    px, py = centres[k - 1] * (1 - share) + centres[k] * share
                    discs.append((px, py, thread))
        return np.array(discs)

    return nucleus
