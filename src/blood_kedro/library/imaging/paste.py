"""Pasting of single cells into fields, by light rather than by pixels.

Pasting multiplies a field by what the cell lets through: uneven light carries over, and where the cell lands on
another, both absorb (Beer-Lambert). Its stain is brought to that of the field's own red cells, its size to theirs.
After Ghiasi et al., Simple copy-paste is a strong data augmentation method (CVPR 2021), which pastes pixels.

Needs NumPy and Pillow only: it runs wherever a detector is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.taxonomy import PARENT, is_a

Box = tuple[float, float, float, float]
BoolMask = npt.NDArray[np.bool_]
RgbImage = npt.NDArray[np.uint8]

# The border of a standardized canvas is black: there is no field.
_BLACK = 12
# Less absorbance than this is noise rather than a cell.
FAINT = 0.05
_TRIES = 15


@dataclass(frozen=True)
class FieldColour:
    """Light of a field (RGB levels), usual absorbance of its cells per channel, and the box the field takes."""

    light: tuple[float, float, float]
    red_od: tuple[float, float, float]
    content: Box


def field_colour(rgb: RgbImage) -> FieldColour | None:
    """Measure a field `(H, W, 3) uint8` quickly; None where nothing on it absorbs."""
    bright = rgb.max(axis=2) > _BLACK
    rows, columns = np.flatnonzero(bright.mean(axis=1) > 0.2), np.flatnonzero(bright.mean(axis=0) > 0.2)
    if len(rows) == 0 or len(columns) == 0:
        return None
    content = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    sample = rgb[rows[0] : rows[-1] + 1 : 2, columns[0] : columns[-1] + 1 : 2]
    red_light, green_light, blue_light = (float(max(v, 1)) for v in np.percentile(sample, 90, axis=(0, 1)))
    light = (red_light, green_light, blue_light)
    density = -np.log(np.maximum(sample, 1) / np.asarray(light))
    green = np.asarray(np.clip(density[..., 1] * 200, 0, 255), np.uint8)
    cells = density[green > otsu(green)]
    if len(cells) < 50:
        return None
    red, green_od, blue = (float(v) for v in np.median(cells, axis=0))
    return FieldColour(light, (red, green_od, blue), content) if green_od > FAINT else None


def usual_cell_px(boxes: boxlib.Boxes, labels: Sequence[str]) -> float | None:
    """Usual diameter of a red cell in px, from the boxes of a field; None where no red cell has one."""
    sides = np.sqrt(boxlib.area(boxes))[[label in PARENT and is_a(label, "rbc") for label in labels]]
    return float(np.median(sides)) if len(sides) else None


def otsu(levels: npt.NDArray[np.uint8]) -> int:
    """Otsu's threshold (1979): what lies above it and what does not differ most."""
    share = np.bincount(levels.ravel(), minlength=256) / levels.size
    below, mass = np.cumsum(share), np.cumsum(share * np.arange(256))
    between = (mass[-1] * below - mass) ** 2 / np.maximum(below * (1 - below), 1e-12)
    return int(between.argmax())


def paste(
    rgb: RgbImage,
    boxes: boxlib.Boxes,
    cell_px: float,
    cutouts: Sequence[CellPatch],
    rng: np.random.Generator,
    max_cover: float = 0.15,
) -> tuple[RgbImage, boxlib.Boxes, list[CellPatch]]:
    """Paste cells at random places, turned, mirrored, and fitted in size and stain.

    Args:
        rgb: `(H, W, 3) uint8`; not changed.
        boxes: `(N, 4)` of what is there already, px.
        cell_px: usual diameter of a red cell there, px.
        cutouts: the cells.
        rng: source of chance.
        max_cover: a place where more than this share of a box there, or of the new one, would be covered is not
            taken; a cell that finds none in 15 tries is left out.

    Returns:
        The new image, the boxes `(M, 4)` of the cells that were pasted, and those cells.
    """
    colour = field_colour(rgb)
    occupied = np.asarray(boxes, np.float64).reshape(-1, 4)
    pasted: list[CellPatch] = []
    if colour is None:
        return rgb, occupied[:0], pasted
    image, count_before = rgb.astype(np.float32), len(occupied)
    for cutout in cutouts:
        absorbance, mask = _fitted(cutout, cell_px, colour, rng)
        place = _place(mask, occupied, colour.content, rng, max_cover)
        if place is None:
            continue
        left, top, box = place
        image[top : top + mask.shape[0], left : left + mask.shape[1]] *= np.exp(-absorbance)
        occupied = np.concatenate([occupied, [box]])
        pasted.append(cutout)
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8), occupied[count_before:], pasted


def _fitted(
    cutout: CellPatch, cell_px: float, colour: FieldColour, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], BoolMask]:
    """Absorbance and mask of a cell in the scale and stain of a field, turned by quarters and mirrored."""
    scale = float(np.clip(cell_px / cutout.cell_px, 0.4, 2.5)) * rng.uniform(0.92, 1.08)
    size = (max(round(cutout.mask.shape[1] * scale), 3), max(round(cutout.mask.shape[0] * scale), 3))
    layers = [*np.moveaxis(cutout.absorbance, 2, 0), cutout.mask.astype(np.float32)]
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    *channels, cover = (np.asarray(Image.fromarray(layer).resize(size, way)) for layer in layers)
    absorbance, mask = np.stack(channels, axis=2), cover >= 0.5
    if cutout.label in PARENT and is_a(cutout.label, "rbc"):
        stain = np.clip(np.maximum(colour.red_od, 0.01) / np.maximum(cutout.red_od, 0.01), 0.4, 2.5)
        absorbance = absorbance * stain.astype(np.float32)
    turns = int(rng.integers(4))
    absorbance, mask = np.rot90(absorbance, turns), np.rot90(mask, turns)
    if rng.random() < 0.5:
        absorbance, mask = absorbance[:, ::-1], mask[:, ::-1]
    return np.asarray(absorbance, np.float32), np.asarray(mask, np.bool_)


def _place(
    mask: BoolMask, occupied: boxlib.Boxes, content: Box, rng: np.random.Generator, max_cover: float
) -> tuple[int, int, npt.NDArray[np.float64]] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    room_x, room_y = content[2] - content[0] - width, content[3] - content[1] - height
    if len(rows) == 0 or room_x < 1 or room_y < 1:
        return None
    for _ in range(_TRIES):
        left, top = int(content[0] + rng.uniform(0, room_x)), int(content[1] + rng.uniform(0, room_y))
        box = np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)
        shared = boxlib.intersection(box[None], occupied)[0]
        smaller = np.minimum(boxlib.area(occupied), boxlib.area(box[None])[0])
        if len(occupied) == 0 or float((shared / np.maximum(smaller, 1e-9)).max()) <= max_cover:
            return left, top, box
    return None
