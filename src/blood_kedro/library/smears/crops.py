"""Single-cell crops with exact masks, as Elmanna et al. 2024 cut them: one cell, or two or three that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.cell import BoolMask, DrawnCell
from blood_kedro.library.smears.kinds import draw
from blood_kedro.library.smears.placement import clump_layout
from blood_kedro.library.smears.scan import scan
from blood_kedro.library.smears.stack import Stack
from blood_kedro.library.smears.styles import Style, slide_style
from blood_kedro.library.smears.truth import cut

# The eight classes of Elmanna et al. 2024 (section 4.1) and the kinds of cell each is drawn from; `+`: overlapping.
ELMANNA_2024_KINDS: dict[str, tuple[str, ...]] = {
    "rounded_rbc": ("normal_rbc",),
    "ovalocyte": ("ovalocyte", "elliptocyte"),
    "teardrop": ("teardrop",),
    "burr_cell": ("burr_cell",),
    "fragmented_rbc": ("helmet", "triangle", "shard", "keratocyte"),
    "two_overlapping_cells": ("normal_rbc+normal_rbc", "normal_rbc+ovalocyte"),
    "three_overlapping_cells": ("normal_rbc+normal_rbc+normal_rbc", "normal_rbc+ovalocyte+normal_rbc"),
    "other": ("false_teardrop", "angled_rbc"),
}


_TRIES = 12


@dataclass(frozen=True)
class SimulatedCrop:
    """One crop: `rgb (side, side, 3) uint8`, `mask (side, side) bool` of all its cells, and where it comes from."""

    rgb: npt.NDArray[np.uint8]
    mask: BoolMask
    kind: str
    slide: str
    scanner: str


def simulate_crop(
    kind: str,
    seed: int,
    slide: int,
    number: int,
    side_px: int = 80,
    px_per_um: float = 6.0,
    styles: tuple[Style, ...] = (),
) -> SimulatedCrop:
    """Draw crop `number` of a kind on a slide; the same arguments give the same bytes.

    Args:
        kind: a kind of `kinds.LABELS`, or several joined by `+`, which overlap.
        seed: global seed.
        slide: number of the slide, from 1; decides scanner and stain as for fields.
        number: number of the crop.
        side_px: side of the square.
        px_per_um: its scale.
        styles: fitted styles that slides take in turn.

    Raises:
        UnknownLabelError: there is no such kind.
    """
    style = slide_style(seed, slide, styles).model_copy(update={"dust": 0.0, "vignetting": 0.0, "magnification": 1.0})
    rng = np.random.default_rng(seed_for(seed, "crop", kind, slide, number))
    cells = [draw(name, style.cells(px_per_um), rng) for name in kind.split("+")]
    offsets = clump_layout(np.array([np.sqrt(cell.mask.sum() / np.pi) for cell in cells]), rng)
    corners, mask = _union(cells, offsets, side_px)
    for _ in range(_TRIES):
        if cv2.connectedComponents(mask.astype(np.uint8))[0] <= 2:
            break
        offsets = 0.9 * offsets  # oval cells just missed each other
        corners, mask = _union(cells, offsets, side_px)
    border = round(8 * px_per_um)  # what lies beyond the crop lends its light
    stack = Stack(side_px + 2 * border, side_px + 2 * border)
    for cell, (left, top) in zip(cells, corners, strict=True):
        stack.add(cell, left + border, top + border)
    rgb = scan(stack.layers(style.overlap_gain), style, px_per_um, rng, border)
    return SimulatedCrop(rgb, mask, kind, f"slide_{slide:03d}", style.name)


def _union(
    cells: list[DrawnCell], offsets: npt.NDArray[np.float64], side_px: int
) -> tuple[list[tuple[int, int]], BoolMask]:
    """Top left corners that put the middle of the group into the middle of the crop, and the mask of all cells."""
    centres = np.rint(offsets - (offsets.max(axis=0) + offsets.min(axis=0)) / 2 + side_px / 2).astype(int)
    corners = [(int(x) - len(c.mask) // 2, int(y) - len(c.mask) // 2) for c, (x, y) in zip(cells, centres, strict=True)]
    mask = np.zeros((side_px, side_px), np.bool_)
    for cell, (left, top) in zip(cells, corners, strict=True):
        stamp = cut(cell.mask, left, top, side_px, side_px)
        if stamp is not None:
            mask[stamp.window] |= stamp.mask
    return corners, mask
