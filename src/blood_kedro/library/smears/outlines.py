"""Outlines of red cells, `(n, 2)` points x, y in units of the cell's radius, before rotation and scaling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blood_kedro.library.smears.cell import Points, wavy

Outline = Callable[[np.random.Generator, float], Points]
_ANGLES = np.linspace(0, 2 * np.pi, 144, endpoint=False)


def _polar(radius: np.ndarray) -> Points:
    return np.stack([radius * np.cos(_ANGLES), radius * np.sin(_ANGLES)], axis=1)


def _stretched(points: Points, axis_ratio: float) -> Points:
    """Stretch along x at constant area."""
    return np.asarray(points * np.array([np.sqrt(axis_ratio), 1 / np.sqrt(axis_ratio)]), np.float64)


def _between(x: np.ndarray, half_width: np.ndarray, bend: float) -> Points:
    """The closed outline around a centre line `y = bend * x^2` with a half width at each x."""
    middle = bend * x**2
    upper, lower = np.stack([x, middle + half_width], 1), np.stack([x, middle - half_width], 1)
    return np.concatenate([upper, lower[::-1]])


def ellipse(rng: np.random.Generator, axis_ratio: float) -> Points:
    """An ellipse that is not quite one."""
    return _stretched(_polar(1 + wavy(rng, _ANGLES, 0.01, range(2, 6))), axis_ratio)


def egg(rng: np.random.Generator, axis_ratio: float) -> Points:
    """Oval with one end blunter than the other."""
    points = ellipse(rng, axis_ratio)
    points[:, 1] *= 1 + rng.uniform(0, 0.16) * points[:, 0] / np.abs(points[:, 0]).max()
    return points


def polygonal(rng: np.random.Generator, axis_ratio: float) -> Points:
    """Rounded corners, as cells have that dried against neighbours."""
    corners = int(rng.integers(4, 7))
    turn = rng.uniform(0, 2 * np.pi)
    radius = 1 + 0.045 * np.cos(corners * _ANGLES + turn) + wavy(rng, _ANGLES, 0.03, range(2, 5))
    return _stretched(_polar(radius), axis_ratio)


def teardrop(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A round body and one tail, 0.5 to 1.2 radii long, blunt at its tip and sometimes bent."""
    return _drop(rng, axis_ratio, tail=rng.uniform(0.5, 1.2), tip=rng.uniform(0.05, 0.12), bend=rng.normal(0, 0.12))


def false_teardrop(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A smearing artefact: the tail is short, straight and ends in a sharp point."""
    return _drop(rng, axis_ratio, tail=rng.uniform(0.3, 0.7), tip=0.005, bend=0.0)


def _drop(rng: np.random.Generator, axis_ratio: float, tail: float, tip: float, bend: float) -> Points:
    leaves = rng.uniform(0.45, 0.75)  # where the tail leaves the body
    body = np.cos(np.linspace(np.pi, np.arccos(leaves), 60))
    shaft = np.linspace(leaves, 1 + tail, 40)[1:]
    neck = np.sqrt(1 - leaves**2)
    share = (shaft - leaves) / (1 + tail - leaves)
    taper = tip * np.sqrt(1 - share**6) + (neck - tip) * (1 - share) ** rng.uniform(1.5, 2.2)
    x = np.concatenate([body, shaft])
    half_width = np.concatenate([np.sqrt(np.clip(1 - body**2, 0, None)), taper])
    points = _between(x, half_width / np.sqrt(axis_ratio), 0.0)
    points[:, 1] += bend * np.clip(points[:, 0] - leaves, 0, None) ** 2
    return points * (1 + 0.01 * rng.normal(0, 1, 2))


def burr(rng: np.random.Generator, axis_ratio: float) -> Points:
    """Crenated: 10 to 24 short spicules, evenly spread."""
    count = int(rng.integers(10, 25))
    phase = count * _FINE + wavy(rng, _FINE, 0.8, range(2, 5)) + rng.uniform(0, 2 * np.pi)
    spicule = np.abs(np.cos(phase / 2)) ** rng.uniform(2, 5)
    height = rng.uniform(0.06, 0.17) * (1 + 0.35 * wavy(rng, _FINE, 1.0, range(3, 7)))
    radius = 0.95 + height * spicule + wavy(rng, _FINE, 0.02, range(2, 5))
    points = np.stack([radius * np.cos(_FINE), radius * np.sin(_FINE)], axis=1)
    return _stretched(points, axis_ratio)


_FINE = np.linspace(0, 2 * np.pi, 360, endpoint=False)


def helmet(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A disc cut off by a straight or hollow chord, with two corners."""
    chord, hollow = rng.uniform(-0.1, 0.45), rng.uniform(0, 0.3)
    edge = np.arccos(chord)
    arc = np.linspace(edge, 2 * np.pi - edge, 90)
    y = np.linspace(-np.sin(edge), np.sin(edge), 40)
    x = chord - hollow * (1 - (y / np.sin(edge)) ** 2)
    points = np.concatenate([np.stack([np.cos(arc), np.sin(arc)], 1), np.stack([x, y], 1)])
    return _centred(_stretched(points, axis_ratio))


def triangle(rng: np.random.Generator, axis_ratio: float) -> Points:
    """Three rounded corners of unlike reach."""
    turn = rng.uniform(0, 2 * np.pi)
    radius = 0.93 + 0.11 * np.cos(3 * _ANGLES + turn) + wavy(rng, _ANGLES, 0.06, range(2, 4))
    return _centred(_stretched(_polar(radius), axis_ratio))


def shard(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A small irregular piece."""
    return _centred(_stretched(_polar(0.95 + wavy(rng, _ANGLES, 0.12, range(2, 6))), axis_ratio))


def keratocyte(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A disc with one bite taken out, which leaves two horns."""
    width, depth = rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.6)
    away = np.abs(np.angle(np.exp(1j * _ANGLES)))
    bite = depth * np.clip(1 - (away / width) ** 2, 0, None)
    horns = 0.12 * np.exp(-(((away - width) / 0.16) ** 2))
    return _stretched(_polar(1 - bite + horns + wavy(rng, _ANGLES, 0.02, range(2, 4))), axis_ratio)


def sickle(rng: np.random.Generator, axis_ratio: float) -> Points:
    """A bent spindle, pointed at both ends; `axis_ratio` is length to width."""
    x = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 80)) * np.sqrt(axis_ratio)
    share = np.abs(x) / np.sqrt(axis_ratio)
    half_width = (1 - share ** rng.uniform(1.5, 2.2)) / np.sqrt(axis_ratio)
    return _centred(_between(x, half_width, rng.uniform(0.12, 0.4)))


def _centred(points: Points) -> Points:
    return np.asarray(points - (points.max(axis=0) + points.min(axis=0)) / 2, np.float64)
