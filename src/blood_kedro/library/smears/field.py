"""Simulated fields: cells placed on a slide, seen through a scanner, with exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.cells import CELLS, Cell, Scale

# Raise this whenever the pixels of a given seed change.
SIMULATOR_VERSION = 1

# A cell of which less than this share lies inside the field is not labelled.
MIN_VISIBLE_SHARE = 0.25


class SmearOptions(BaseModel):
    """What to simulate. `cells_per_field` gives the mean number of each class in a field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slides: int = Field(gt=0)
    fields_per_slide: int = Field(gt=0)
    width_px: int = Field(480, ge=64)
    height_px: int = Field(360, ge=64)
    px_per_um: float = Field(5.0, gt=0)
    cells_per_field: dict[str, float]
    overlap_share: float = Field(0.15, ge=0, le=1, description="share of red cells that may overlap another")


@dataclass(frozen=True)
class Scanner:
    """How a scanner renders a slide: RGB gain, blur sigma in px, noise sigma in levels, vignetting at corners."""

    name: str
    gain: tuple[float, float, float]
    blur_px: float
    noise: float
    vignetting: float


SCANNERS = (
    Scanner("bright_neutral", (0.96, 0.95, 0.95), 0.7, 1.5, 0.03),
    Scanner("warm", (1.00, 0.91, 0.80), 0.9, 2.0, 0.06),
    Scanner("grey_green", (0.70, 0.74, 0.68), 1.2, 2.5, 0.10),
    Scanner("violet", (0.90, 0.86, 0.95), 0.8, 2.0, 0.05),
)


@dataclass(frozen=True)
class PlacedCell:
    """Truth of one cell, px of the field: half-open box, mask `(H, W) bool` (also where it lies under another)."""

    label: str
    box_xyxy_px: tuple[float, float, float, float]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Smear:
    """One field: `(H, W, 3) uint8` RGB, its cells, and the slide and scanner it came from."""

    rgb: npt.NDArray[np.uint8]
    cells: tuple[PlacedCell, ...]
    slide: str
    scanner: str


def simulate_field(options: SmearOptions, seed: int, slide: int, field: int) -> Smear:
    """Simulate one field. Equal arguments and `SIMULATOR_VERSION` give equal bytes, in any order of calls."""
    on_slide = np.random.default_rng(seed_for(seed, SIMULATOR_VERSION, "slide", slide))
    scanner = SCANNERS[slide % len(SCANNERS)]
    scale = Scale(options.px_per_um * on_slide.uniform(0.94, 1.06), on_slide.uniform(0.8, 1.2))
    rng = np.random.default_rng(seed_for(seed, SIMULATOR_VERSION, "field", slide, field))
    density = np.zeros((options.height_px, options.width_px, 3), np.float32)
    taken: list[tuple[float, float, float]] = []
    placed = []
    for cell in _draw_cells(options, rng, scale):
        spot = _find_spot(options, rng, cell, taken)
        if spot is None:
            continue
        taken.append((*spot, _radius_px(cell)))
        truth = _stamp(density, cell, spot)
        if truth is not None:
            placed.append(truth)
    return Smear(_scan(density, scanner, rng), tuple(placed), f"slide_{slide:03d}", scanner.name)


def _draw_cells(options: SmearOptions, rng: np.random.Generator, scale: Scale) -> list[Cell]:
    cells = []
    for label, mean in options.cells_per_field.items():
        cells += [CELLS[label](rng, scale) for _ in range(int(rng.poisson(mean)))]
    # White cells first: they push red cells aside. Larger cells are harder to place later.
    return sorted(cells, key=lambda cell: -cell.mask.sum())


def _radius_px(cell: Cell) -> float:
    return float(np.sqrt(cell.mask.sum() / np.pi))


def _find_spot(
    options: SmearOptions, rng: np.random.Generator, cell: Cell, taken: list[tuple[float, float, float]]
) -> tuple[float, float] | None:
    """A centre that keeps its distance; some red cells may overlap by up to a third of a diameter."""
    radius = _radius_px(cell)
    nucleated = float(cell.absorbance.max()) > 0.9
    closest = 0.66 if not nucleated and rng.random() < options.overlap_share else 1.04
    for _ in range(60):
        x, y = rng.uniform(0, options.width_px), rng.uniform(0, options.height_px)
        if all(np.hypot(x - tx, y - ty) > closest * (radius + tr) for tx, ty, tr in taken):
            return float(x), float(y)
    return None


def _stamp(density: npt.NDArray[np.float32], cell: Cell, spot: tuple[float, float]) -> PlacedCell | None:
    """Add a cell's absorbance to the field in place; None where too little of it lies inside."""
    height, width = density.shape[:2]
    h, w = cell.mask.shape
    top, left = round(spot[1]) - h // 2, round(spot[0]) - w // 2
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + h, height), min(left + w, width)
    if y0 >= y1 or x0 >= x1:
        return None
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    density[y0:y1, x0:x1] += cell.absorbance[inside]
    if cell.mask[inside].sum() < MIN_VISIBLE_SHARE * cell.mask.sum():
        return None
    mask = np.zeros((height, width), np.bool_)
    mask[y0:y1, x0:x1] = cell.mask[inside]
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(cols[0]), float(rows[0]), float(cols[-1] + 1), float(rows[-1] + 1))
    return PlacedCell(cell.label, box, mask)


def _scan(density: npt.NDArray[np.float32], scanner: Scanner, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    height, width = density.shape[:2]
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    corner = ((xx / width - 0.5) ** 2 + (yy / height - 0.5) ** 2) * 2
    light = np.asarray(scanner.gain, np.float32) * (1 - scanner.vignetting * corner)[..., None]
    image = 255 * light * np.exp(-density)
    image = cv2.GaussianBlur(image, (0, 0), scanner.blur_px)
    image = image + rng.normal(0, scanner.noise, image.shape).astype(np.float32)
    return np.asarray(np.clip(np.round(image), 0, 255), np.uint8)
