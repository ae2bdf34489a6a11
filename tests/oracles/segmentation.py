"""Segmentation step by step with scikit-image and scipy: what the fast one must equal, pixel for pixel."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from blood_kedro.library.counting.pieces import BoolMask, Labels, solidity
from blood_kedro.library.counting.segment.options import WatershedOptions


def ground_light(green: np.ndarray) -> np.ndarray:
    """The light of the ground of `(H, W)` green, as `flat_field_green` divides by."""
    green = green.astype(np.float32)
    height, width = green.shape
    rows, cols = max(1, round(height / 64)), max(1, round(width / 64))
    blocks = [
        [float(np.percentile(part, 90)) for part in np.array_split(band, cols, axis=1)]
        for band in np.array_split(green, rows, axis=0)
    ]
    grid = ndimage.median_filter(np.asarray(blocks, np.float32), size=3, mode="nearest")
    grid = np.maximum(grid, np.median(grid) * 0.9)
    return cv2.GaussianBlur(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 16)


def dark(rgb: np.ndarray, cell_px: float, unsharp: float, level: float) -> BoolMask:
    """As `darker_than_ground`."""
    flat = np.clip(rgb[..., 1].astype(np.float32) / np.maximum(ground_light(rgb[..., 1]), 1.0), 0.6, 1.2)
    sharp = np.clip(flat + unsharp * (flat - cv2.GaussianBlur(flat, (0, 0), cell_px / 9)), 0.6, 1.2)
    scaled = np.asarray((sharp - 0.6) / 0.6 * 255, np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ground = np.percentile(scaled, 92)
    return np.asarray(scaled < ground - level * max(ground - otsu, 8.0), np.bool_)


def foreground(rgb: np.ndarray, cell_px: float) -> BoolMask:
    """As `segmentation.foreground`."""
    mask = ndimage.binary_opening(dark(rgb, cell_px, 1.0, 0.85), iterations=max(1, round(cell_px / 36)))
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    small = np.bincount(holes.ravel()) <= 0.35 * cell_px**2
    small[0] = False
    return np.asarray(mask | small[holes], np.bool_)


def split_instances(mask: BoolMask, cell_px: float, seeds: np.ndarray) -> Labels:
    """As `segmentation.split_instances`."""
    distance = cv2.GaussianBlur(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), (0, 0), cell_px / 24)
    peaks, count = ndimage.label(h_maxima(distance[::2, ::2], max(0.75, cell_px / 40)) > 0)
    markers = np.zeros(mask.shape, np.int32)
    if count:
        centres = np.asarray(ndimage.center_of_mass(peaks, peaks, np.arange(1, count + 1)))[:, ::-1] * 2
        for offset, (x, y) in enumerate(centres):
            if not len(seeds) or np.min(np.hypot(*(seeds - (x, y)).T)) >= 0.5 * cell_px:
                markers[int(y), int(x)] = len(seeds) + 1 + offset
    for number, (x, y) in enumerate(seeds, start=1):
        cv2.circle(markers, (round(x), round(y)), max(1, round(cell_px / 12)), number, -1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


def watershed_labels(rgb: np.ndarray, options: WatershedOptions) -> Labels:
    """As `watershed_pieces`, painted."""
    components = np.asarray(ndimage.label(_stained(rgb, options))[0], np.int32)
    split = split_instances(_completed(components, options) > 0, options.cell_px, np.empty((0, 2)))
    return _completed(_mended(split, options), options)


def _stained(rgb: np.ndarray, options: WatershedOptions) -> BoolMask:
    mask = dark(rgb, options.cell_px, options.unsharp, options.level)
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    for hole in regionprops(holes):
        small = hole.area <= options.hole_share * np.pi / 4 * options.cell_px**2
        if small and (hole.area < 12 or hole.solidity >= options.hole_solidity):
            mask[hole.slice] |= hole.image
    size = 2 * round(options.opening * options.cell_px / 36) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def _completed(labels: Labels, options: WatershedOptions) -> Labels:
    """Labels in which crescents are whole cells, largest first."""
    usual = np.pi / 4 * options.cell_px**2
    completed = labels.copy()
    for cell in sorted(regionprops(labels), key=lambda region: -region.area):
        plausible = 0.2 * usual < cell.area and cell.area_convex <= options.completed_share * usual
        if not plausible or cell.solidity > 0.93:
            continue
        hull, window = cell.image_convex, completed[cell.slice]
        others = (window > 0) & (window != cell.label) & hull
        if others.sum() <= 0.15 * cell.area_convex:
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
