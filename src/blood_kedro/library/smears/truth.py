"""What is exactly known of every simulated cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_kedro.library.smears.cell import BoolMask


@dataclass(frozen=True)
class Stamp:
    """A mask patch on a field: `mask (h, w) bool`, its top left corner in px of the field (it lies inside)."""

    left: int
    top: int
    mask: BoolMask

    @property
    def window(self) -> tuple[slice, slice]:
        """The patch's place, as an index into the field."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def box_xyxy_px(self) -> tuple[float, float, float, float]:
        """Half-open box of the mask, px of the field."""
        rows, cols = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = self.left + int(cols[0]), self.top + int(rows[0])
        return float(x), float(y), float(self.left + cols[-1] + 1), float(self.top + rows[-1] + 1)


@dataclass(frozen=True)
class PlacedCell:
    """Truth of one cell in a field.

    Attributes:
        kind: family it was drawn from.
        label: its class in the taxonomy.
        stamp: its pixels, also where it lies under another cell; cut at the border of the field.
        centre_xy_px: centre of the whole cell, px of the field (may lie outside).
        visible_share: share of the cell's area inside the field, (0, 1].
        overlap_share: share of its pixels in the field that another cell covers too, [0, 1].
        clump: number of its clump in the field, from 1: cells whose pixels touch, also at corners, are one clump.
        clump_cells: how many cells that clump holds; 1 is a cell on its own.
        number: the cell's number on its slide or smear.
    """

    kind: str
    label: str
    stamp: Stamp
    centre_xy_px: tuple[float, float]
    visible_share: float
    overlap_share: float
    clump: int
    clump_cells: int
    number: int

    @property
    def box_xyxy_px(self) -> tuple[float, float, float, float]:
        """Half-open box of the visible part, px of the field."""
        return self.stamp.box_xyxy_px

    def mask(self, height_px: int, width_px: int) -> BoolMask:
        """Its pixels on the whole field, `(height, width) bool`."""
        full = np.zeros((height_px, width_px), np.bool_)
        full[self.stamp.window] = self.stamp.mask
        return full


def cut(mask: BoolMask, left: int, top: int, width_px: int, height_px: int) -> Stamp | None:
    """The part of a patch that lies inside a field; None if no pixel of the mask does."""
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + mask.shape[0], height_px), min(left + mask.shape[1], width_px)
    if y0 >= y1 or x0 >= x1:
        return None
    inside = mask[y0 - top : y1 - top, x0 - left : x1 - left]
    return Stamp(x0, y0, inside) if inside.any() else None


def overlap_shares(stamps: list[Stamp], height_px: int, width_px: int) -> list[float]:
    """Of each cell, the share of its pixels that at least one other cell covers too."""
    layers = np.zeros((height_px, width_px), np.uint8)
    for stamp in stamps:
        layers[stamp.window] += stamp.mask
    return [float((layers[s.window][s.mask] > 1).mean()) for s in stamps]


def clumps(stamps: list[Stamp], height_px: int, width_px: int) -> npt.NDArray[np.int64]:
    """The clump of each cell, `(n,)` from 1: cells whose pixels touch, also at corners, lie in one."""
    union = np.zeros((height_px, width_px), np.uint8)
    for stamp in stamps:
        union[stamp.window] |= stamp.mask.astype(np.uint8)
    parts = cv2.connectedComponents(union, connectivity=8)[1]
    # A cell cut by the border can lie in two parts: it joins them.
    cells, touched = [], []
    for number, stamp in enumerate(stamps):
        for part in np.unique(parts[stamp.window][stamp.mask]):
            cells.append(number)
            touched.append(len(stamps) + int(part))
    size = len(stamps) + int(parts.max()) + 1
    links = coo_array((np.ones(len(cells)), (cells, touched)), shape=(size, size))
    of_node = connected_components(links, directed=False)[1]
    return np.asarray(np.unique(of_node[: len(stamps)], return_inverse=True)[1] + 1, np.int64)
