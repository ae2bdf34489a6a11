"""Copy-paste of single cells between fields, by light rather than by pixels.

A cell is cut out as absorbance against the background beside it. Pasting multiplies the new field by what the cell lets
through: uneven light carries over, and where the cell lands on another, both absorb (Beer-Lambert). Its stain is
brought to that of the new field's own red cells, its size to theirs. After Ghiasi et al., Simple copy-paste is a strong
data augmentation method (CVPR 2021), which pastes pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.cutout import Cutout
from blood_kedro.library.core.taxonomy import PARENT, is_a
from blood_kedro.library.imaging.segmentation import BoolMask, RgbImage

Box = tuple[float, float, float, float]

# The border of a standardized canvas is black: there is no field.
_BLACK = 12
# A cell whose surroundings are darker than this share of the field's light lies in a crowd: it has no clean outline.
_CLEAN_GROUND = 0.8
# Less absorbance than this is noise rather than a cell.
_FAINT = 0.05
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
    seen = rgb[rows[0] : rows[-1] + 1 : 2, columns[0] : columns[-1] + 1 : 2]
    red_light, green_light, blue_light = (float(max(v, 1)) for v in np.percentile(seen, 90, axis=(0, 1)))
    light = (red_light, green_light, blue_light)
    density = -np.log(np.maximum(seen, 1) / np.asarray(light))
    green = np.asarray(np.clip(density[..., 1] * 200, 0, 255), np.uint8)
    level = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    cells = density[green > level]
    if len(cells) < 50:
        return None
    red, green_od, blue = (float(v) for v in np.median(cells, axis=0))
    return FieldColour(light, (red, green_od, blue), content) if green_od > _FAINT else None


def usual_cell_px(boxes: boxlib.Boxes, labels: Sequence[str]) -> float | None:
    """Usual diameter of a red cell in px, from the boxes of a field; None where no red cell has one."""
    sides = np.sqrt(boxlib.area(boxes))[[label in PARENT and is_a(label, "rbc") for label in labels]]
    return float(np.median(sides)) if len(sides) else None


def cut_out(rgb: RgbImage, box: Box, label: str, cell_px: float, colour: FieldColour, origin: str) -> Cutout | None:
    """Cut the cell out of its box; None where it has no outline of its own (crowded, cut by the border, too faint)."""
    x_min, y_min, x_max, y_max = box
    pad = 0.15 * max(x_max - x_min, y_max - y_min) + 2
    left, top, right, bottom = (round(v) for v in (x_min - pad, y_min - pad, x_max + pad, y_max + pad))
    inside = colour.content
    if left < inside[0] or top < inside[1] or right > inside[2] or bottom > inside[3]:
        return None
    patch = rgb[top:bottom, left:right].astype(np.float32)
    ring = np.ones(patch.shape[:2], np.bool_)
    ring[3:-3, 3:-3] = False
    ground = np.percentile(patch[ring], 75, axis=0)
    if (ground < _CLEAN_GROUND * np.asarray(colour.light)).any():
        return None
    density = -np.log(np.maximum(patch, 1) / np.maximum(ground, 1))
    mask = _central_mask(density)
    if mask is None:
        return None
    soft = cv2.GaussianBlur(ndimage.binary_dilation(mask).astype(np.float32), (0, 0), 0.8)
    absorbance = np.asarray(np.clip(density, 0, None) * soft[..., None], np.float32)
    return Cutout(label, absorbance, mask, cell_px, colour.red_od, origin)


def _central_mask(density: npt.NDArray[np.float32]) -> BoolMask | None:
    """The component in the middle of a patch, if it is one clear cell."""
    strength = np.asarray(np.clip(density.max(axis=2) * 150, 0, 255), np.uint8)
    level = cv2.threshold(strength, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    cells = ndimage.binary_opening(ndimage.binary_fill_holes(strength > level))
    parts = ndimage.label(cells)[0]
    height, width = parts.shape
    middle = parts[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1]
    found = np.bincount(middle[middle > 0]) if (middle > 0).any() else np.zeros(0, np.int64)
    if not found.any():
        return None
    mask = np.asarray(parts == found.argmax(), np.bool_)
    if float(np.median(density.max(axis=2)[mask])) < _FAINT:
        return None
    touches = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    return None if touches or not 0.12 < mask.mean() < 0.8 else mask


def paste(
    rgb: RgbImage,
    boxes: boxlib.Boxes,
    cell_px: float,
    cutouts: Sequence[Cutout],
    rng: np.random.Generator,
    max_cover: float = 0.15,
) -> tuple[RgbImage, boxlib.Boxes, list[Cutout]]:
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
    there = np.asarray(boxes, np.float64).reshape(-1, 4)
    pasted: list[Cutout] = []
    if colour is None:
        return rgb, there[:0], pasted
    image, known = rgb.astype(np.float32), len(there)
    for cutout in cutouts:
        absorbance, mask = _fitted(cutout, cell_px, colour, rng)
        place = _place(mask, there, colour.content, rng, max_cover)
        if place is None:
            continue
        left, top, box = place
        image[top : top + mask.shape[0], left : left + mask.shape[1]] *= np.exp(-absorbance)
        there = np.concatenate([there, [box]])
        pasted.append(cutout)
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8), there[known:], pasted


def _fitted(
    cutout: Cutout, cell_px: float, colour: FieldColour, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], BoolMask]:
    """Absorbance and mask of a cell in the scale and stain of a field, turned by quarters and mirrored."""
    scale = float(np.clip(cell_px / cutout.cell_px, 0.4, 2.5)) * rng.uniform(0.92, 1.08)
    size = (max(round(cutout.mask.shape[1] * scale), 3), max(round(cutout.mask.shape[0] * scale), 3))
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    absorbance = cv2.resize(cutout.absorbance, size, interpolation=flags)
    mask = cv2.resize(cutout.mask.astype(np.float32), size, interpolation=flags) >= 0.5
    if cutout.label in PARENT and is_a(cutout.label, "rbc"):
        stain = np.clip(np.maximum(colour.red_od, 0.01) / np.maximum(cutout.red_od, 0.01), 0.4, 2.5)
        absorbance = absorbance * stain.astype(np.float32)
    turns = int(rng.integers(4))
    absorbance, mask = np.rot90(absorbance, turns), np.rot90(mask, turns)
    if rng.random() < 0.5:
        absorbance, mask = absorbance[:, ::-1], mask[:, ::-1]
    return np.asarray(absorbance, np.float32), np.asarray(mask, np.bool_)


def _place(
    mask: BoolMask, there: boxlib.Boxes, content: Box, rng: np.random.Generator, max_cover: float
) -> tuple[int, int, npt.NDArray[np.float64]] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    room_x, room_y = content[2] - content[0] - width, content[3] - content[1] - height
    if len(rows) == 0 or room_x < 1 or room_y < 1:
        return None
    for _ in range(_TRIES):
        left, top = int(content[0] + rng.uniform(0, room_x)), int(content[1] + rng.uniform(0, room_y))
        box = np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)
        shared = boxlib.intersection(box[None], there)[0]
        smaller = np.minimum(boxlib.area(there), boxlib.area(box[None])[0])
        if len(there) == 0 or float((shared / np.maximum(smaller, 1e-9)).max()) <= max_cover:
            return left, top, box
    return None
