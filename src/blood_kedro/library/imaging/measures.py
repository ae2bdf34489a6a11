"""Size, shape and colour of the single red cells of a field, measured the same way on real and simulated images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from skimage.measure import regionprops

from blood_kedro.library.imaging.segmentation import BoolMask, Labels, RgbImage, foreground, split_instances

MEASURES = (
    "diameter_px",
    "eccentricity",
    "solidity",
    "red_od",
    "green_od",
    "blue_od",
    "pallor_ratio",
    "pallor_area",
    "texture",
    "edge_px",
    "glare",
    "halo",
)
_COLUMNS = ["x_min", "y_min", "x_max", "y_max", *MEASURES]


@dataclass(frozen=True)
class Light:
    """Background of an image as a quadratic surface per channel, levels 0 to 255; `surface (H, W, 3) float32`."""

    surface: npt.NDArray[np.float32]
    noise: float
    grain: float


def background_light(rgb: RgbImage, cells: BoolMask, cell_px: float) -> Light | None:
    """Fit the light where there is no cell; None where too little background shows.

    `noise` is the standard deviation of fine detail in the background (levels); `grain` its correlation between
    neighbouring pixels, 0 for white noise.
    """
    away = ~ndimage.binary_dilation(cells, iterations=max(2, round(cell_px / 8)))
    values = rgb.astype(np.float32)
    if away.mean() < 0.03:
        return None
    # Debris is not background: drop what is far from the middle of it.
    grey = values.mean(axis=2)
    away &= np.abs(grey - np.median(grey[away])) < 4 * max(float(np.std(grey[away])), 1.0)
    height, width = cells.shape
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    x, y = xx / width - 0.5, yy / height - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
    chosen = np.flatnonzero(away)[:: max(1, int(away.sum()) // 20000)]
    fit = np.linalg.lstsq(terms.reshape(-1, 6)[chosen], values.reshape(-1, 3)[chosen], rcond=None)[0]
    surface = np.clip(terms @ fit, 1, 255).astype(np.float32)
    fine = values[..., 1] - cv2.GaussianBlur(values[..., 1], (0, 0), 2.0)
    spread = float(1.4826 * np.median(np.abs(fine[away])))
    both = away[:, 1:] & away[:, :-1]
    grain = float(np.mean(fine[:, 1:][both] * fine[:, :-1][both]) / max(float(np.mean(fine[away] ** 2)), 1e-6))
    return Light(surface, spread, grain)


@dataclass(frozen=True)
class FieldMeasures:
    """What `measure_red_cells` finds in one image.

    Attributes:
        cells: one row per red cell that stands alone and whole, with its box (px) and `MEASURES`.
        light: the background; None where too little of it shows (then there are no cells either).
        clump_darkness: 95th percentile of green absorbance in components of several cells over that in single cells,
            median over components; NaN where there are none. Above 1, overlaps are darker.
    """

    cells: pd.DataFrame
    light: Light | None
    clump_darkness: float = float("nan")


def violet(density: npt.NDArray[np.floating]) -> BoolMask:
    """Pixels of nuclei, granules and platelets: `density` is `(..., 3)` absorbance per RGB channel.

    Azure absorbs red and green and lets blue pass; haemoglobin with eosin absorbs green and blue. Very dark in red is
    never a red cell.
    """
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    return np.asarray((red > 0.75) | ((red > 0.3) & (green - blue > 0.4)), np.bool_)


def measure_red_cells(rgb: RgbImage, cell_px: float) -> FieldMeasures:
    """Measure the red cells of a field.

    Diameter is that of the disc of equal area (px). Absorbances (`*_od`) are natural logarithms against the fitted
    light, averaged over the cell. The pallor ratio is green absorbance in the middle over the 90th percentile in the
    cell (1: no pallor), the pallor area the share of the cell paler than half way between the two. Texture is the
    relative spread of fine detail in green absorbance. `edge_px` is the width of the rim, as a Gaussian's sigma. Glare
    is the absorbance of the ground at a tenth of a cell from its rim, halo how far it falls below that nearer by, both
    over the cell's own.

    Args:
        rgb: `(H, W, 3) uint8`.
        cell_px: usual diameter of a red cell in px.
    """
    cells = foreground(rgb, cell_px)
    light = background_light(rgb, cells, cell_px)
    if light is None:
        return FieldMeasures(pd.DataFrame(columns=_COLUMNS, dtype=float), None)
    density = -np.log(np.clip(rgb, 1, 255) / light.surface).astype(np.float32)
    instances = split_instances(cells, cell_px)
    labels = _alone(instances, cells)
    rows = []
    for cell in regionprops(labels):
        y0, x0, y1, x1 = cell.bbox
        usual = np.pi / 4 * cell_px**2
        if y0 == 0 or x0 == 0 or y1 == rgb.shape[0] or x1 == rgb.shape[1] or not 0.3 * usual < cell.area < 3 * usual:
            continue
        pad = max(round(0.15 * cell_px), 4)
        window = np.s_[max(y0 - pad, 0) : y1 + pad, max(x0 - pad, 0) : x1 + pad]
        row = _measure(density[window], labels[window] == cell.label, cells[window], cell_px)
        if row is not None:
            shape = {"eccentricity": float(cell.eccentricity), "solidity": float(cell.solidity)}
            rows.append({"x_min": x0, "y_min": y0, "x_max": x1, "y_max": y1, **shape, **row})
    darkness = _clump_darkness(density[..., 1], cells, instances, labels, cell_px)
    return FieldMeasures(pd.DataFrame(rows, columns=_COLUMNS, dtype=float), light, darkness)


def _clump_darkness(
    green: npt.NDArray[np.float32], cells: BoolMask, instances: Labels, alone: Labels, cell_px: float
) -> float:
    def dark(regions: Labels) -> list[float]:
        least = 0.5 * np.pi / 4 * cell_px**2
        return [float(np.percentile(green[p.slice][p.image], 95)) for p in regionprops(regions) if p.area > least]

    parts = ndimage.label(cells & (instances > 0) & (alone == 0))[0]
    single, several = dark(alone), dark(np.asarray(parts, np.int32))
    return float(np.median(several) / np.median(single)) if single and several else float("nan")


def _alone(labels: Labels, cells: BoolMask) -> Labels:
    """Only the instances whose connected component holds no other instance."""
    parts, count = ndimage.label(cells)
    pairs = np.unique(np.stack([parts[labels > 0], labels[labels > 0]]), axis=1)
    inhabitants = np.bincount(pairs[0], minlength=count + 1)
    return np.asarray(np.where(inhabitants[parts] == 1, labels, 0), np.int32)


def _measure(
    density: npt.NDArray[np.float32], cell: BoolMask, any_cell: BoolMask, cell_px: float
) -> dict[str, float] | None:
    if violet(density)[cell].mean() > 0.05:  # a nucleated cell
        return None
    green = density[..., 1]
    inside = cv2.distanceTransform(cell.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~cell).astype(np.uint8), cv2.DIST_L2, 5)
    middle = inside > 0.7 * inside.max()
    strongest = float(np.percentile(green[cell], 90))
    if strongest < 0.02:
        return None
    centre = float(green[middle].mean())
    fine = green - cv2.GaussianBlur(green, (0, 0), 1.5)
    # Level of green absorbance against the signed distance from the outline, 1 px steps.
    free = ~(any_cell & ~cell)
    signed = np.where(cell, inside - 0.5, 0.5 - outside)
    reach = max(round(0.13 * cell_px), 4)
    near = free & (np.abs(signed) < reach)
    steps = np.clip(np.rint(signed[near] + reach - 0.5), 0, 2 * reach - 1).astype(int)
    counts = np.bincount(steps, minlength=2 * reach)
    profile = np.bincount(steps, green[near], minlength=2 * reach) / np.maximum(counts, 1)
    slope = float(np.diff(profile).max())
    level = float(green[cell].mean())
    edge = (profile.max() - profile.min()) / max(slope, 1e-6) / np.sqrt(2 * np.pi)
    ground = float(profile[: reach // 2].mean())
    colours = {f"{name}_od": float(density[..., k][cell].mean()) for k, name in enumerate(("red", "green", "blue"))}
    return {
        "diameter_px": 2 * float(np.sqrt(cell.sum() / np.pi)),
        **colours,
        "pallor_ratio": centre / strongest,
        "pallor_area": float((green[cell & (inside > 0.15 * inside.max())] < (centre + strongest) / 2).mean()),
        "texture": float(fine[inside > 3].std()) / strongest if (inside > 3).any() else 0.0,
        "edge_px": float(edge),
        "glare": ground / max(level, 0.02),
        "halo": (ground - float(profile[reach // 2 : reach].min())) / max(level, 0.02),
    }
