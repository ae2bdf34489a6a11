"""Red cells from physics: an outline, a thickness over it, haemoglobin that absorbs in proportion.

The thickness follows the biconcave disc of Evans and Fung (Microvascular Research 4, 1972, 335-347):
`sqrt(1 - rho^2) (0.81 + 7.83 rho^2 - 4.39 rho^4)` um, with rho the relative distance from the centre. Families change
the outline, the depth and form of the dimple, and three quantities a haematology analyser reports: diameter, cell
volume (MCV, fL) and haemoglobin concentration (MCHC, g/dL). The thickness is scaled so that it encloses the volume;
so a spherocyte is dark and a hypochromic cell pale because of what they hold.

Ranges: Bain, Blood Cells, 5th ed. (2015), chapters 2 and 3: red cell 6.0-8.5 um across (most 7.2-7.9 um in a smear),
MCV 80-100 fL, MCHC 32-36 g/dL, macrocytes above 100 fL, microcytes below 80 fL, hypochromia where the pallor takes more
than a third of the diameter, elliptocytes with a long axis above twice the short and ovalocytes below that. Axis ratios
of ovalocytes and elliptocytes are centred on those measured on Chula (1.44 and 1.93, facts of this project).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from blood_kedro.library.smears import outlines
from blood_kedro.library.smears.cell import (
    HAEMOGLOBIN,
    LAYERS,
    PHASE,
    CellStyle,
    DrawnCell,
    FloatImage,
    Raster,
    rasterize,
    smooth_noise,
    turned,
    wavy,
)

# One unit of the haemoglobin layer: 2.2 um of cell at 33 g/dL.
UNIT_THICKNESS_UM, UNIT_MCHC = 2.2, 33.0

Range = tuple[float, float]


@dataclass(frozen=True)
class RedFamily:
    """Ranges that cells of one kind are drawn from, uniformly.

    `pallor` is the depth of the dimple: 1 as in Evans and Fung, 0 none. `pallor_reach` is its extent along the long and
    the short axis, in radii (1 is Evans and Fung). `pallor_flat` above 1 widens the floor of the dimple. `bump` is the
    density of a target's bull's-eye.
    """

    label: str
    outline: outlines.Outline
    diameter_um: Range
    axis_ratio: Range
    volume_fl: Range
    mchc: Range = (32.0, 35.0)
    pallor: Range = (0.7, 1.0)
    pallor_reach: tuple[Range, Range] = ((0.9, 1.05), (0.9, 1.05))
    pallor_flat: Range = (0.9, 1.3)
    bump: Range = (0.0, 0.0)


FAMILIES: dict[str, RedFamily] = {
    "normal_rbc": RedFamily("normal_rbc", outlines.ellipse, (7.0, 7.9), (1.0, 1.22), (80, 98)),
    "macrocyte": RedFamily("macrocyte", outlines.ellipse, (8.6, 10.0), (1.0, 1.2), (108, 140), pallor=(0.5, 0.9)),
    "microcyte": RedFamily("microcyte", outlines.ellipse, (5.6, 6.6), (1.0, 1.15), (55, 72)),
    "spherocyte": RedFamily(
        "spherocyte", outlines.ellipse, (5.6, 6.9), (1.0, 1.08), (78, 95), (34, 37), pallor=(0.0, 0.12)
    ),
    "target_cell": RedFamily(
        "target_cell", outlines.ellipse, (7.4, 9.0), (1.0, 1.15), (70, 92), (30, 33), (0.9, 1.0), bump=(0.45, 0.8)
    ),
    "stomatocyte": RedFamily(
        "stomatocyte",
        outlines.ellipse,
        (7.2, 8.2),
        (1.0, 1.2),
        (85, 105),
        pallor=(0.8, 1.0),
        pallor_reach=((0.7, 0.95), (0.22, 0.42)),
    ),
    "ovalocyte": RedFamily("ovalocyte", outlines.egg, (6.8, 7.8), (1.25, 1.65), (78, 98)),
    "borderline_ovalocyte": RedFamily("ovalocyte", outlines.egg, (6.8, 7.8), (1.13, 1.25), (78, 98)),
    "elliptocyte": RedFamily("elliptocyte", outlines.ellipse, (6.4, 7.4), (1.7, 2.5), (75, 95)),
    "teardrop": RedFamily("teardrop", outlines.teardrop, (5.4, 6.8), (1.0, 1.25), (65, 90), pallor=(0.4, 0.9)),
    "false_teardrop": RedFamily("uncategorized", outlines.false_teardrop, (6.2, 7.4), (1.0, 1.15), (78, 98)),
    "burr_cell": RedFamily("burr_cell", outlines.burr, (6.2, 7.4), (1.0, 1.2), (75, 95), pallor=(0.2, 0.7)),
    "helmet": RedFamily("schistocyte", outlines.helmet, (5.0, 6.8), (0.9, 1.2), (40, 65), pallor=(0.0, 0.5)),
    "triangle": RedFamily("schistocyte", outlines.triangle, (4.4, 6.2), (1.0, 1.3), (30, 60), pallor=(0.0, 0.4)),
    "shard": RedFamily("schistocyte", outlines.shard, (3.2, 4.8), (1.0, 1.6), (18, 38), pallor=(0.0, 0.2)),
    "keratocyte": RedFamily("schistocyte", outlines.keratocyte, (6.0, 7.2), (1.0, 1.15), (60, 85), pallor=(0.3, 0.8)),
    "sickle_cell": RedFamily("sickle_cell", outlines.sickle, (5.6, 7.0), (2.4, 4.2), (50, 70), (34, 38), (0.0, 0.15)),
    "hypochromia": RedFamily(
        "hypochromia",
        outlines.ellipse,
        (6.8, 8.2),
        (1.0, 1.15),
        (60, 78),
        (22, 28),
        (1.0, 1.05),
        pallor_flat=(1.6, 2.4),
    ),
    "angled_rbc": RedFamily("uncategorized", outlines.polygonal, (6.8, 7.8), (1.0, 1.2), (80, 98)),
}


def evans_fung_um(rho: FloatImage) -> FloatImage:
    """Thickness of a resting red cell at relative radius `rho` (0 centre, 1 rim), in um, same shape."""
    return np.asarray(np.sqrt(np.clip(1 - rho**2, 0, None)) * _dimple(rho), np.float32)


def _dimple(rho: FloatImage) -> FloatImage:
    return np.asarray(0.81 + 7.83 * rho**2 - 4.39 * rho**4, np.float32)


def draw_red_cell(kind: str, style: CellStyle, rng: np.random.Generator) -> DrawnCell:
    """Draw one cell of a family of `FAMILIES`."""
    family = FAMILIES[kind]
    diameter = rng.uniform(*family.diameter_um) * style.size
    shape = family.outline(rng, rng.uniform(*family.axis_ratio))
    angle = np.arctan2(shape[:, 1], shape[:, 0])
    shape = shape * (1 + wavy(rng, angle, rng.uniform(0.006, 0.03), range(2, 9)))[:, None]
    if rng.random() < 0.5:
        shape = shape * np.array([1, -1])
    turn = style.smear_direction + rng.normal(0, 0.2) if kind == "false_teardrop" else rng.uniform(0, 2 * np.pi)
    raster = rasterize(turned(shape * diameter / 2, turn), style.px_per_um)
    thickness = _thickness(family, raster, turn, style, rng)
    volume = rng.uniform(*family.volume_fl) * style.size**2  # a cell that spreads wider is not thicker
    thickness *= volume / max(float(thickness.sum()) / style.px_per_um**2, 1e-6)
    if kind == "burr_cell":
        thickness += _spicules(raster, rng)
    thickness *= 1 + style.texture * smooth_noise(rng, thickness.shape, 0.2 * style.px_per_um)
    layers = np.zeros((*thickness.shape, len(LAYERS)), np.float32)
    layers[..., HAEMOGLOBIN] = thickness / UNIT_THICKNESS_UM * rng.uniform(*family.mchc) / UNIT_MCHC
    layers[..., PHASE] = _refractile(raster, style, rng)
    return DrawnCell(kind, family.label, np.clip(layers, 0, None), raster.mask)


def _thickness(
    family: RedFamily, raster: Raster, turn: float, style: CellStyle, rng: np.random.Generator
) -> FloatImage:
    """Relative thickness `(h, w) float32`: a rounded edge times the dimple."""
    reach = max(float(raster.inside_um.max()), 1e-6)
    # For a disc this is exactly Evans and Fung's radius; a dried cell has a steeper edge (exponent below 1/2).
    rho = 1 - np.clip(raster.inside_um / reach, 0, 1)
    edge = np.clip(1 - rho**2, 0, None) ** (style.edge * rng.uniform(0.6, 1.4))
    long, short = (rng.uniform(*r) for r in family.pallor_reach)
    points = np.argwhere(raster.mask)
    span = np.sqrt(np.linalg.eigvalsh(np.cov(points.T))) * 2 / style.px_per_um if len(points) > 3 else (reach, reach)
    x, y = raster.x_um - rng.normal(0, 0.05) * reach, raster.y_um - rng.normal(0, 0.05) * reach
    u, v = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
    angle = np.arctan2(v, u)
    q = np.hypot(u / (span[1] * long), v / (span[0] * short)) * (1 + wavy(rng, angle, 0.05, range(2, 5)))
    q = np.clip(q, 0, 1) ** (style.pallor_flat * rng.uniform(*family.pallor_flat))
    smooth = 1 - _dimple(np.asarray(q, np.float32)) / float(_dimple(np.ones(1, np.float32))[0])
    punched = 0.8 / (1 + np.exp((q - rng.uniform(0.32, 0.5)) / rng.uniform(0.025, 0.08)))
    share = np.clip(style.punched + rng.normal(0, 0.25), 0, 1)
    hollow = (1 - share) * smooth + share * punched
    depth = np.clip(rng.uniform(*family.pallor) * style.pallor, 0, 1.05)
    form = 1 - depth * hollow + rng.uniform(*family.bump) * np.exp(-((q / 0.32) ** 2))
    return np.asarray(raster.cover * edge * np.clip(form, 0.02, None), np.float32)


def _spicules(raster: Raster, rng: np.random.Generator) -> FloatImage:
    """Spicules that point at the viewer: small dark dots, um of thickness."""
    dots = np.zeros_like(raster.cover)
    reach = float(raster.inside_um.max())
    for _ in range(int(rng.integers(3, 9))):
        radius, angle = reach * np.sqrt(rng.uniform(0, 0.8)), rng.uniform(0, 2 * np.pi)
        away = (raster.x_um - radius * np.cos(angle)) ** 2 + (raster.y_um - radius * np.sin(angle)) ** 2
        dots += rng.uniform(0.3, 0.9) * np.exp(-away / 0.3**2)
    return np.asarray(dots * raster.cover, np.float32)


def _refractile(raster: Raster, style: CellStyle, rng: np.random.Generator) -> FloatImage:
    """Drying spots: they bend light and show as bright rings."""
    spots = np.zeros_like(raster.cover)
    reach = float(raster.inside_um.max())
    for _ in range(int(rng.poisson(style.refractile))):
        radius, angle = 0.7 * reach * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        x, y = raster.x_um - radius * np.cos(angle), raster.y_um - radius * np.sin(angle)
        size = rng.uniform(0.25, 0.6)
        spots += rng.uniform(0.5, 2.0) * ((x**2 + (y * rng.uniform(0.7, 1.4)) ** 2) < size**2)
    return np.asarray(cv2.GaussianBlur(spots, (0, 0), max(0.12 * style.px_per_um, 0.5)), np.float32)
