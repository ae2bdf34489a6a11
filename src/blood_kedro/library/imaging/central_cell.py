"""The nucleated cell, or the platelet, in the centre of a picture of a single cell."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from blood_kedro.library.imaging.segmentation import BoolMask, Box, RgbImage


def central_cell_box(rgb: RgbImage, size_px: float) -> Box | None:
    """Box of the stained (nucleated, or platelet) cell in the centre of a single-cell image.

    Violet pixels near the centre are certain cell, a frame far outside the class size is certain background,
    and GrabCut (Rother et al. 2004) decides what lies between from colour and edges, which keeps pale
    cytoplasm and leaves pink red cells out.

    Args:
        rgb: `(H, W, 3) uint8`.
        size_px: usual width of this class in px of this image.

    Returns:
        Half-open box in px, or None where no stained cell of a plausible size lies in the centre.
    """
    height, width = rgb.shape[:2]
    # Half resolution is four times faster and moves an edge by at most a pixel.
    small = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    box = _grabcut_box(np.asarray(small, np.uint8), size_px / 2)
    if box is None:
        return None
    x_min, y_min, x_max, y_max = (2 * v for v in box)
    fits = all(0.4 * size_px < side < 1.9 * size_px for side in (x_max - x_min, y_max - y_min))
    return (x_min, y_min, min(x_max, float(width)), min(y_max, float(height))) if fits else None


def _violet(rgb: RgbImage) -> BoolMask:
    """Nuclei, granules and platelets: stain with more blue than red relative to the background."""
    values = rgb.astype(np.float32)
    background = np.percentile(values.reshape(-1, 3), 85, axis=0)
    density = -np.log(np.maximum(values, 1) / np.maximum(background, 1))
    red_density, green_density, blue_density = density[..., 0], density[..., 1], density[..., 2]
    score = red_density + 0.3 * (green_density - blue_density)
    otsu, _ = cv2.threshold(
        np.asarray(np.clip(score * 150, 0, 255), np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    return np.asarray(score > max(otsu / 150, 0.15), np.bool_)


def _grabcut_box(rgb: RgbImage, size_px: float) -> Box | None:
    height, width = rgb.shape[:2]
    yy, xx = np.mgrid[:height, :width]
    radius = np.hypot(xx - width / 2, yy - height / 2)
    core = _violet(rgb) & (radius < 0.75 * size_px)
    labels, count = ndimage.label(ndimage.binary_opening(core, iterations=1))
    if count == 0:
        return None
    areas = np.bincount(labels.ravel())[1:]
    near = np.asarray(ndimage.minimum(radius, labels, np.arange(1, count + 1)))
    keep = np.flatnonzero((near < 0.35 * size_px) & (areas > 0.02 * size_px**2)) + 1
    if len(keep) == 0:
        return None
    core = np.isin(labels, keep)
    state = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    state[radius < 0.55 * size_px] = cv2.GC_PR_FGD
    state[radius > 0.95 * size_px] = cv2.GC_BGD
    state[core] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # GrabCut clusters colours with k-means++
    unused_rect, models = (0, 0, 0, 0), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(rgb[..., ::-1].copy(), state, unused_rect, *models, 3, cv2.GC_INIT_WITH_MASK)
    cell = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    cell = ndimage.binary_opening(ndimage.binary_fill_holes(cell), iterations=max(1, round(size_px / 20)))
    labels, count = ndimage.label(cell)
    if count == 0:
        return None
    overlap = np.bincount(labels[core], minlength=count + 1)
    overlap[0] = 0
    rows, cols = np.where(labels == int(overlap.argmax()))
    return float(cols.min()), float(rows.min()), float(cols.max() + 1), float(rows.max() + 1)
