"""Single simulated cells: what each does to light passing through it, and which pixels it covers.

A cell is drawn on its own small patch as absorbance `(h, w, 3)` (natural logarithm, one value per RGB
channel) and a boolean mask. Absorbances of overlapping cells add up (Beer-Lambert), so darker overlaps and
central pallor come out by themselves. Red-cell thickness: Evans and Fung, Microvascular Research 4 (1972),
335-347. Diameters in micrometres: red cell 6.7-7.7, spherocyte about 6, lymphocyte 7-10, neutrophil 10-12
(cited as 12-15 when spread on a smear), platelet 2-3 (Bain, Blood Cells, 5th ed., chapters 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

EOSIN = np.array([0.10, 0.42, 0.30], np.float32)  # haemoglobin with eosin: absorbs green and blue
AZURE = np.array([0.95, 1.25, 0.35], np.float32)  # nuclei: violet
CYTOPLASM = np.array([0.30, 0.26, 0.06], np.float32)  # pale blue
GRANULES = np.array([0.18, 0.38, 0.14], np.float32)  # lilac


@dataclass(frozen=True)
class Cell:
    """One drawn cell: absorbance `(h, w, 3) float32`, mask `(h, w) bool`, taxonomy label."""

    label: str
    absorbance: Array
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scale:
    """Pixels per micrometre, and the stain strength of the slide (1 is usual)."""

    px_per_um: float
    stain: float


def evans_fung_thickness_um(rho: Array) -> Array:
    """Thickness of a resting red cell over the relative radius `rho` (0 centre, 1 rim), in um."""
    inside = np.clip(1 - rho**2, 0, None)
    return np.asarray(np.sqrt(inside) * (0.81 + 7.83 * rho**2 - 4.39 * rho**4), np.float32)


def _grid(half_px: float) -> tuple[Array, Array]:
    extent = int(np.ceil(half_px)) + 2
    yy, xx = np.mgrid[-extent : extent + 1, -extent : extent + 1].astype(np.float32)
    return xx, yy


def _red(
    rng: np.random.Generator, scale: Scale, label: str, diameter_um: float, axis_ratio: float, pallor: bool
) -> Cell:
    half = diameter_um * scale.px_per_um / 2
    a, b = half * np.sqrt(axis_ratio), half / np.sqrt(axis_ratio)
    xx, yy = _grid(a * 1.9 if label == "teardrop" else a * 1.1)
    turn = rng.uniform(0, 2 * np.pi)
    u = np.cos(turn) * xx + np.sin(turn) * yy
    v = -np.sin(turn) * xx + np.cos(turn) * yy
    if label == "teardrop":  # one end drawn out into a tail that narrows towards its tip
        tail = np.clip(u / a, 0, None)
        u = np.where(u > 0, u / (1 + 0.75 * np.clip(1 - np.abs(v) / (0.75 * b), 0, 1)), u)
        v = v * (1 + 0.35 * tail**2)
    # A smooth random outline: real cells are never exact ellipses.
    angle = np.arctan2(v / b, u / a)
    wobble = sum(rng.normal(0, 0.012) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    rho = np.asarray(np.hypot(u / a, v / b) / (1 + wobble), np.float32)
    mask = rho < 1
    thickness = evans_fung_thickness_um(rho) if pallor else 2.6 * np.sqrt(np.clip(1 - rho**2, 0, None)) + 0.9 * mask
    density = thickness / 2.2 * scale.stain * rng.uniform(0.9, 1.1)
    return Cell(label, np.asarray(density[..., None] * EOSIN * mask[..., None], np.float32), mask)


def normal_rbc(rng: np.random.Generator, scale: Scale) -> Cell:
    """Round, 6.7-7.7 um, with central pallor."""
    return _red(rng, scale, "normal_rbc", rng.uniform(6.7, 7.7), rng.uniform(1.0, 1.1), pallor=True)


def spherocyte(rng: np.random.Generator, scale: Scale) -> Cell:
    """Small, round and dense, without pallor."""
    return _red(rng, scale, "spherocyte", rng.uniform(5.4, 6.2), rng.uniform(1.0, 1.06), pallor=False)


def elliptocyte(rng: np.random.Generator, scale: Scale) -> Cell:
    """Axis ratio about 1.6 to 2.2."""
    return _red(rng, scale, "elliptocyte", rng.uniform(6.2, 7.2), rng.uniform(1.6, 2.2), pallor=True)


def teardrop(rng: np.random.Generator, scale: Scale) -> Cell:
    """A round body with a single tail."""
    return _red(rng, scale, "teardrop", rng.uniform(5.8, 6.8), rng.uniform(1.0, 1.15), pallor=True)


def _texture(rng: np.random.Generator, shape: tuple[int, ...], grain_px: float) -> Array:
    noise = rng.normal(0, 1, shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), max(grain_px, 0.6))
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), np.float32)


def _soft_disc(xx: Array, yy: Array, centre: tuple[float, float], radius: float) -> Array:
    distance = np.hypot(xx - centre[0], yy - centre[1])
    return np.asarray(np.clip((radius - distance) / 1.5 + 0.5, 0, 1), np.float32)


def _white(
    rng: np.random.Generator,
    scale: Scale,
    label: str,
    diameter_um: float,
    lobes: list[tuple[float, float, float]],
    granular: bool,
) -> Cell:
    """Lobes are (x, y, radius) in shares of the cell radius."""
    radius = diameter_um * scale.px_per_um / 2
    xx, yy = _grid(radius * 1.12)
    angle = np.arctan2(yy, xx)
    wobble = sum(rng.normal(0, 0.02) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    mask = np.hypot(xx, yy) < radius * (1 + wobble)
    nucleus = np.zeros(xx.shape, np.float32)
    for x, y, size in lobes:
        nucleus = np.maximum(nucleus, _soft_disc(xx, yy, (x * radius, y * radius), size * radius))
    nucleus *= mask
    chromatin = nucleus * (1 + 0.16 * _texture(rng, xx.shape, 0.25 * scale.px_per_um))
    body = mask * (1 + 0.08 * _texture(rng, xx.shape, 0.2 * scale.px_per_um))
    density = chromatin[..., None] * AZURE + body[..., None] * CYTOPLASM
    if granular:
        dots = np.clip(_texture(rng, xx.shape, 0.15 * scale.px_per_um) - 0.4, 0, None) * mask * (1 - nucleus)
        density = density + dots[..., None] * GRANULES
    return Cell(label, np.asarray(np.clip(density, 0, None) * scale.stain, np.float32), np.asarray(mask, np.bool_))


def lymphocyte(rng: np.random.Generator, scale: Scale) -> Cell:
    """A round nucleus that nearly fills the cell."""
    lobe = (float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.1, 0.1)), float(rng.uniform(0.78, 0.86)))
    return _white(rng, scale, "lymphocyte", rng.uniform(8, 10), [lobe], granular=False)


def segmented_neutrophil(rng: np.random.Generator, scale: Scale) -> Cell:
    """Three to five lobes on an arc, granular cytoplasm."""
    count, start = int(rng.integers(3, 6)), rng.uniform(0, 2 * np.pi)
    spread = np.linspace(0, rng.uniform(1.1, 1.5) * np.pi, count) + start
    sizes = rng.uniform(0.24, 0.32, count)
    lobes = [(0.45 * np.cos(t), 0.45 * np.sin(t), s) for t, s in zip(spread, sizes, strict=True)]
    return _white(rng, scale, "segmented_neutrophil", rng.uniform(12, 14), lobes, granular=True)


def platelet(rng: np.random.Generator, scale: Scale) -> Cell:
    """A small granular disc, 2-3 um."""
    radius = rng.uniform(2.0, 3.2) * scale.px_per_um / 2
    xx, yy = _grid(radius * 1.2)
    angle = np.arctan2(yy, xx)
    wobble = sum(rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
    mask = np.hypot(xx, yy) < radius * (1 + wobble)
    density = mask * (0.55 + 0.2 * _texture(rng, xx.shape, 0.12 * scale.px_per_um))
    colour = 0.5 * AZURE + 0.5 * GRANULES
    return Cell("platelet", np.asarray(np.clip(density, 0, None)[..., None] * colour * scale.stain, np.float32), mask)


CELLS: dict[str, Callable[[np.random.Generator, Scale], Cell]] = {
    "normal_rbc": normal_rbc,
    "spherocyte": spherocyte,
    "elliptocyte": elliptocyte,
    "teardrop": teardrop,
    "lymphocyte": lymphocyte,
    "segmented_neutrophil": segmented_neutrophil,
    "platelet": platelet,
}
