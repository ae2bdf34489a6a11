"""Classical segmentation of a tile: no weights, a tenth of a second."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.pieces import BoolMask, Labels, Piece, pieces_of_labels, solidity
from blood_kedro.library.counting.segment.options import WatershedOptions
from blood_kedro.library.imaging.hulls import hull_image
from blood_kedro.library.imaging.regions import components, holes, windows_of
from blood_kedro.library.imaging.segmentation import darker_than_ground, split_instances

# A whole cell fills so much of its convex hull; a crescent's hull may reach so far into other cells.
_WHOLE, _OTHERS = 0.93, 0.15
# Smaller holes are filled whatever their outline: it has too few pixels to have a shape.
_SPECK_PX2 = 12


def watershed_pieces(rgb: npt.NDArray[np.uint8], options: WatershedOptions) -> list[Piece]:
    """Cells of a tile `(H, W, 3) uint8`; touching ones are split where their distance transform has several peaks."""
    whole = _completed(components(stained(rgb, options)).labels, options)
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
    ground = holes(mask)
    most = options.hole_share * np.pi / 4 * options.cell_px**2
    pallor = ground.enclosed & (ground.areas_px2 <= most)
    for number in np.flatnonzero(pallor & (ground.areas_px2 >= _SPECK_PX2)).tolist():
        hull = hull_image(ground.labels[ground.window(number)] == number)
        pallor[number] = ground.areas_px2[number] / np.count_nonzero(hull) >= options.hole_solidity
    return np.asarray(mask | pallor[ground.labels], np.bool_)


def _completed(labels: Labels, options: WatershedOptions) -> Labels:
    """Labels in which crescents are whole cells, largest first."""
    usual = np.pi / 4 * options.cell_px**2
    areas = np.bincount(labels.ravel())
    completed = labels.copy()
    # A hull is no smaller than its mask.
    likely = [each for each in windows_of(labels) if 0.2 * usual < areas[each[0]] <= options.completed_share * usual]
    for number, place in sorted(likely, key=lambda each: -areas[each[0]]):
        hull = hull_image(labels[place] == number)
        hull_px2 = np.count_nonzero(hull)
        if hull_px2 > options.completed_share * usual or areas[number] / hull_px2 > _WHOLE:
            continue
        window = completed[place]
        others = (window > 0) & (window != number) & hull
        if np.count_nonzero(others) <= _OTHERS * hull_px2:
            window[hull & (window == 0)] = number
    return completed


def _mended(labels: Labels, options: WatershedOptions) -> Labels:
    """Labels in which neighbours that make one compact cell together are one, most compact pairs first."""
    usual = np.pi / 4 * options.cell_px**2
    areas = np.bincount(labels.ravel())
    windows = dict(windows_of(labels))
    pairs = []
    for i, j in _neighbours(labels):
        if areas[i] + areas[j] <= options.mended_share * usual:
            window = _around(windows[i], windows[j])
            compact = solidity((labels[window] == i) | (labels[window] == j))
            if compact >= options.mended_solidity:
                pairs.append((compact, i, j))
    mended, used = labels.copy(), set[int]()
    for _, i, j in sorted(pairs, reverse=True):
        if not used & {i, j}:
            used |= {i, j}
            mended[windows[j]][labels[windows[j]] == j] = i
    return mended


def _neighbours(labels: Labels) -> list[tuple[int, int]]:
    """Pairs of labels whose pixels touch, the smaller first, in order."""
    pairs: list[npt.NDArray[np.int64]] = []
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        border = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.sort(np.stack([a[border], b[border]], axis=1).astype(np.int64), axis=1))
    return sorted(set(map(tuple, np.concatenate(pairs).tolist())))


def _around(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return rows, columns
