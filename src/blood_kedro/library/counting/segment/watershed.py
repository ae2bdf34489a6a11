"""Classical segmentation of a tile: no weights, a tenth of a second."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from skimage.measure import regionprops

from blood_kedro.library.counting.pieces import BoolMask, Labels, Piece, pieces_of_labels, solidity
from blood_kedro.library.imaging.segmentation import darker_than_ground, split_instances

# A whole cell fills so much of its convex hull; a crescent's hull may reach so far into other cells.
_WHOLE, _OTHERS = 0.93, 0.15


class WatershedOptions(BaseModel):
    """What decides between cell and ground; chosen on eight tiles of smear HS2.

    `cell_px`: usual diameter of a red cell. `level`: where between the light of the ground (0) and Otsu's threshold (1)
    a pixel becomes cell. `unsharp`: how much detail is added before, which keeps thin gaps between cells open.
    `hole_share`: holes of up to this share of a cell, as compact as `hole_solidity`, are pallor and filled; others are
    gaps between cells. `completed_share`: a pale cell whose rim is open is left as a crescent; it is completed to its
    convex hull where that is no larger than so many cells and hardly anybody else's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_px: float = Field(36.0, gt=4)
    level: float = Field(0.85, gt=0, le=1.5)
    unsharp: float = Field(1.5, ge=0)
    hole_share: float = Field(0.4, ge=0, le=1)
    hole_solidity: float = Field(0.95, ge=0, le=1)
    completed_share: float = Field(1.3, ge=0)
    mended_solidity: float = Field(0.95, ge=0, le=1)
    mended_share: float = Field(1.5, ge=0)
    opening: float = Field(3.0, ge=0, description="radius of the opening, in 36ths of a cell")


def watershed_pieces(rgb: npt.NDArray[np.uint8], options: WatershedOptions) -> list[Piece]:
    """Cells of a tile `(H, W, 3) uint8`; touching ones are split where their distance transform has several peaks."""
    components = np.asarray(ndimage.label(stained(rgb, options))[0], np.int32)
    whole = _completed(components, options)
    split = _mended(split_instances(whole > 0, options.cell_px), options)
    return pieces_of_labels(_completed(split, options))


def stained(rgb: npt.NDArray[np.uint8], options: WatershedOptions) -> BoolMask:
    """Pixels of cells, `(H, W) bool`: flat field, unsharp mask, Otsu, pallor filled, opened."""
    cell = options.cell_px
    mask = darker_than_ground(rgb, cell, options.unsharp, options.level)
    filled = _with_pallor(mask, options)
    radius = options.opening * cell / 36
    if radius < 0.5:
        return filled
    size = 2 * round(radius) + 1
    opened = cv2.morphologyEx(
        filled.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    )
    return np.asarray(opened > 0, np.bool_)


def _with_pallor(mask: BoolMask, options: WatershedOptions) -> BoolMask:
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    most = options.hole_share * np.pi / 4 * options.cell_px**2
    filled = mask.copy()
    for hole in regionprops(holes):
        if hole.area <= most and (hole.area < 12 or hole.solidity >= options.hole_solidity):
            filled[hole.slice] |= hole.image
    return filled


def _completed(labels: Labels, options: WatershedOptions) -> Labels:
    """Labels in which crescents are whole cells, largest first."""
    usual = np.pi / 4 * options.cell_px**2
    completed = labels.copy()
    for cell in sorted(regionprops(labels), key=lambda region: -region.area):
        plausible = 0.2 * usual < cell.area and cell.area_convex <= options.completed_share * usual
        if not plausible or cell.solidity > _WHOLE:
            continue
        hull, window = cell.image_convex, completed[cell.slice]
        others = (window > 0) & (window != cell.label) & hull
        if others.sum() <= _OTHERS * cell.area_convex:
            window[hull & (window == 0)] = cell.label
    return completed


def _mended(labels: Labels, options: WatershedOptions) -> Labels:
    """Labels in which neighbours that make one compact cell together are one, most compact pairs first."""
    usual = np.pi / 4 * options.cell_px**2
    areas = np.bincount(labels.ravel())
    regions = {region.label: region for region in regionprops(labels)}
    pairs = []
    for i, j in _neighbours(labels):
        if areas[i] + areas[j] <= options.mended_share * usual:
            window = _around(regions[i].slice, regions[j].slice)
            compact = solidity((labels[window] == i) | (labels[window] == j))
            if compact >= options.mended_solidity:
                pairs.append((compact, i, j))
    mended, used = labels.copy(), set[int]()
    for _, i, j in sorted(pairs, reverse=True):
        if not used & {i, j}:
            used |= {i, j}
            window = regions[j].slice
            mended[window][labels[window] == j] = i
    return mended


def _neighbours(labels: Labels) -> list[tuple[int, int]]:
    """Pairs of labels whose pixels touch."""
    sides = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    touching = [np.stack([a[m], b[m]], axis=1) for a, b in sides if (m := (a > 0) & (b > 0) & (a != b)).any()]
    if not touching:
        return []
    return [(int(i), int(j)) for i, j in np.unique(np.sort(np.concatenate(touching), axis=1), axis=0)]


def _around(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return rows, columns
