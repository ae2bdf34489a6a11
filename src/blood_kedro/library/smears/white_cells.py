"""Nucleated cells: nucleus, chromatin texture, cytoplasm, granules, vacuoles.

Sizes on a smear: lymphocyte 7-12 um, neutrophil 12-15, eosinophil 12-17, basophil 10-14, monocyte 12-20, promyelocyte
14-20, myelocyte 12-18, metamyelocyte 11-15, late erythroblast 8-11 (Bain, Blood Cells, 5th ed., chapter 3); within
these ranges they are set near the median boxes measured on PBC (10.7 px/um). Nuclear forms: same chapter.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from blood_kedro.library.smears.cell import (
    CHROMATIN,
    CYTOPLASM,
    EOSINOPHIL_GRANULES,
    HAEMOGLOBIN,
    LAYERS,
    PURPLE_GRANULES,
    CellStyle,
    DrawnCell,
    FloatImage,
    Points,
    Raster,
    rasterize,
    smooth_noise,
    wavy,
)
from blood_kedro.library.smears.nuclei import Nucleus, Range, arc_nucleus, lobed_nucleus, round_nucleus


@dataclass(frozen=True)
class Granules:
    """Granules of one layer: mean number, radius in um, amount at their centre; some lie over the nucleus."""

    layer: int
    count: float
    radius_um: float
    amount: float
    over_nucleus: bool = False


@dataclass(frozen=True)
class WhiteFamily:
    """Ranges that cells of one kind are drawn from.

    `cytoplasm`, `haemoglobin`: amount of these layers in the cytoplasm. `chromatin`: density of the nucleus, `clumping`
    the contrast of its texture. `ruffle`: unevenness of the outline.
    """

    label: str
    nucleus: Nucleus
    diameter_um: Range
    chromatin: Range
    clumping: float
    cytoplasm: Range
    haemoglobin: Range = (0.0, 0.0)
    granules: tuple[Granules, ...] = ()
    vacuoles: float = 0.0
    ruffle: float = 0.02


_NEUTROPHILIC = (Granules(PURPLE_GRANULES, 260, 0.14, 0.22), Granules(EOSINOPHIL_GRANULES, 900, 0.35, 0.16))
_AZUROPHIL = Granules(PURPLE_GRANULES, 55, 0.2, 0.7, over_nucleus=True)

FAMILIES: dict[str, WhiteFamily] = {
    "lymphocyte": WhiteFamily(
        "lymphocyte", round_nucleus((0.74, 0.88), 0.16), (8.2, 11.0), (0.95, 1.15), 0.26, (0.8, 1.3)
    ),
    "monocyte": WhiteFamily(
        "monocyte",
        arc_nucleus((0.36, 0.46), (1.0, 2.6), (0.3, 0.42)),
        (13.5, 17.0),
        (0.75, 0.92),
        0.34,
        (0.6, 0.9),
        granules=(Granules(PURPLE_GRANULES, 160, 0.12, 0.15),),
        vacuoles=4.0,
        ruffle=0.035,
    ),
    "eosinophil": WhiteFamily(
        "eosinophil",
        lobed_nucleus((2, 2), (0.32, 0.4), (0.36, 0.46)),
        (12.0, 14.5),
        (0.85, 1.0),
        0.22,
        (0.15, 0.3),
        granules=(Granules(EOSINOPHIL_GRANULES, 700, 0.4, 0.75),),
    ),
    "basophil": WhiteFamily(
        "basophil",
        lobed_nucleus((2, 3), (0.36, 0.44), (0.28, 0.4)),
        (10.5, 13.0),
        (0.65, 0.85),
        0.2,
        (0.2, 0.4),
        granules=(Granules(PURPLE_GRANULES, 110, 0.4, 1.1, over_nucleus=True),),
    ),
    "band_neutrophil": WhiteFamily(
        "band_neutrophil",
        arc_nucleus((0.21, 0.28), (3.0, 4.4), (0.42, 0.52)),
        (12.0, 14.5),
        (0.9, 1.05),
        0.26,
        (0.1, 0.2),
        granules=_NEUTROPHILIC,
    ),
    "segmented_neutrophil": WhiteFamily(
        "segmented_neutrophil",
        lobed_nucleus((3, 5), (0.22, 0.29), (0.4, 0.52)),
        (12.0, 14.5),
        (0.95, 1.1),
        0.24,
        (0.1, 0.2),
        granules=_NEUTROPHILIC,
    ),
    "promyelocyte": WhiteFamily(
        "promyelocyte",
        round_nucleus((0.66, 0.78), 0.3),
        (14.0, 17.5),
        (0.7, 0.85),
        0.2,
        (0.8, 1.2),
        granules=(_AZUROPHIL,),
    ),
    "myelocyte": WhiteFamily(
        "myelocyte",
        round_nucleus((0.56, 0.66), 0.45),
        (12.5, 15.0),
        (0.8, 0.95),
        0.26,
        (0.4, 0.8),
        granules=(*_NEUTROPHILIC, Granules(PURPLE_GRANULES, 15, 0.18, 0.6)),
    ),
    "metamyelocyte": WhiteFamily(
        "metamyelocyte",
        arc_nucleus((0.34, 0.42), (1.4, 2.2), (0.34, 0.42)),
        (12.0, 14.5),
        (0.85, 1.0),
        0.26,
        (0.2, 0.45),
        granules=_NEUTROPHILIC,
    ),
    "erythroblast": WhiteFamily(
        "erythroblast", round_nucleus((0.5, 0.66), 0.3), (8.0, 10.5), (1.15, 1.35), 0.32, (0.2, 0.9), (0.3, 0.9)
    ),
}

_ANGLES = np.linspace(0, 2 * np.pi, 144, endpoint=False)


def draw_white_cell(kind: str, style: CellStyle, rng: np.random.Generator) -> DrawnCell:
    """Draw one cell of a family of `FAMILIES`."""
    family = FAMILIES[kind]
    radius_um = rng.uniform(*family.diameter_um) / 2
    outline = 1 + wavy(rng, _ANGLES, family.ruffle, range(2, 9))
    points = np.stack([outline * np.cos(_ANGLES), outline * np.sin(_ANGLES)], 1) * radius_um
    raster = rasterize(points * np.array([s := np.sqrt(rng.uniform(0.9, 1.1)), 1 / s]), style.px_per_um)
    nucleus = _cover(raster, family.nucleus(rng) * radius_um, style.px_per_um)
    layers = np.zeros((*raster.cover.shape, len(LAYERS)), np.float32)
    layers[..., CHROMATIN] = nucleus * rng.uniform(*family.chromatin) * _chromatin(family, raster, style, rng)
    thin = np.clip(raster.inside_um / 0.8, 0.35, 1) * raster.cover  # cytoplasm thins out at its edge
    body = thin * (1 + 0.12 * smooth_noise(rng, thin.shape, 0.3 * style.px_per_um)) * (1 - 0.6 * nucleus)
    body = body * (1 - _vacuoles(family, raster, rng))
    layers[..., CYTOPLASM] = body * rng.uniform(*family.cytoplasm)
    layers[..., HAEMOGLOBIN] = body * rng.uniform(*family.haemoglobin)
    for granules in family.granules:
        where = raster.cover * (1.0 if granules.over_nucleus else 1 - nucleus)
        layers[..., granules.layer] += _granules(granules, np.asarray(where, np.float32), style, rng)
    return DrawnCell(kind, family.label, np.clip(layers, 0, None), raster.mask)


def _cover(raster: Raster, discs_um: Points, px_per_um: float) -> FloatImage:
    """Share of each pixel inside the union of discs, kept a little inside the cell."""
    signed = np.full(raster.cover.shape, np.inf, np.float32)
    for x, y, radius in discs_um:
        np.minimum(signed, np.hypot(raster.x_um - x, raster.y_um - y) - radius, out=signed)
    signed = np.maximum(signed, 0.25 - raster.inside_um)
    return np.asarray(np.clip(0.5 - signed * px_per_um, 0, 1), np.float32)


def _chromatin(family: WhiteFamily, raster: Raster, style: CellStyle, rng: np.random.Generator) -> FloatImage:
    """Texture around 1: coarse clumps and the light gaps between them."""
    coarse = smooth_noise(rng, raster.cover.shape, 0.38 * style.px_per_um)
    fine = smooth_noise(rng, raster.cover.shape, 0.16 * style.px_per_um)
    gaps = np.clip(0.7 * coarse + 0.5 * fine - 0.5, 0, 1.6)
    return np.asarray(np.clip(1.04 + 0.06 * coarse - 1.8 * family.clumping * gaps, 0.25, 1.3), np.float32)


def _vacuoles(family: WhiteFamily, raster: Raster, rng: np.random.Generator) -> FloatImage:
    holes = np.zeros_like(raster.cover)
    reach = float(raster.inside_um.max())
    for _ in range(int(rng.poisson(family.vacuoles))):
        away, angle = reach * np.sqrt(rng.uniform(0.2, 0.9)), rng.uniform(0, 2 * np.pi)
        distance = np.hypot(raster.x_um - away * np.cos(angle), raster.y_um - away * np.sin(angle))
        holes = np.maximum(holes, 0.8 / (1 + np.exp((distance - rng.uniform(0.3, 0.7)) / 0.1)))
    return np.asarray(holes, np.float32)


def _granules(granules: Granules, where: FloatImage, style: CellStyle, rng: np.random.Generator) -> FloatImage:
    """Dots at random pixels of `where`, `(h, w) float32`."""
    seeds = np.zeros_like(where)
    inside = np.flatnonzero(where.ravel() > 0.6)
    if len(inside) == 0:
        return seeds
    chosen = rng.choice(inside, int(rng.poisson(granules.count)))
    np.add.at(seeds.ravel(), chosen, rng.uniform(0.6, 1.4, len(chosen)).astype(np.float32))
    sigma = max(granules.radius_um * style.px_per_um * 0.6, 0.5)
    dots = cv2.GaussianBlur(seeds, (0, 0), sigma) * (2 * np.pi * sigma**2)
    return np.asarray(granules.amount * np.clip(dots, 0, 1.5) * where, np.float32)
