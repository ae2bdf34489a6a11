"""Classical segmentation of stained cells: instances of a field, and the nucleated cell in the centre.

Used to measure boxes that a source does not give (PBC: class per image; Chula: a point per cell) and to
find cells that are visible but carry no label. Needs no weights. The recipe for touching red cells
(flat-field, unsharp mask before Otsu, distance-transform watershed) is the one that agreed best with SAM
masks on the Ojaghi smears (docs/facts/peer.md#segmentation-without-sam).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

RgbImage = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Instance:
    """One segmented cell: half-open box `(x_min, y_min, x_max, y_max)` in px and the area in px^2."""

    box_xyxy_px: Box
    area_px2: float
    label: int


def flat_field_green(rgb: RgbImage) -> npt.NDArray[np.float32]:
    """Green channel divided by the local background, `(H, W) float32`, about 1.0 where there is no cell.

    Haemoglobin and eosin absorb green most. The background is the 90th percentile of 64 px blocks, smoothed,
    so that vignetting and uneven light do not shift the threshold.
    """
    green = rgb[..., 1].astype(np.float32)
    height, width = green.shape
    rows, cols = max(1, round(height / 64)), max(1, round(width / 64))
    blocks = [
        [float(np.percentile(part, 90)) for part in np.array_split(band, cols, axis=1)]
        for band in np.array_split(green, rows, axis=0)
    ]
    grid = ndimage.median_filter(np.asarray(blocks, np.float32), size=3, mode="nearest")
    # A block that lies wholly inside a cell or the dark frame is not background: lift it to the usual level.
    grid = np.maximum(grid, np.median(grid) * 0.9)
    background = cv2.GaussianBlur(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 16)
    return np.asarray(green / np.maximum(background, 1.0), np.float32)


def darker_than_ground(rgb: RgbImage, cell_px: float, unsharp: float = 1.0, level: float = 0.85) -> BoolMask:
    """Stained pixels, `(H, W) bool`: flat field, unsharp mask, Otsu; nothing is filled or opened.

    Args:
        rgb: `(H, W, 3) uint8`.
        cell_px: usual cell diameter in px; sets the scale of the unsharp mask.
        unsharp: how much detail is added, which keeps thin gaps between cells open.
        level: where between the light of the ground (0) and Otsu's threshold (1) a pixel becomes cell.
    """
    # Below 0.6 all is cell; without the floor, a dark nucleus draws Otsu's threshold under the pale red cells.
    flat = np.clip(flat_field_green(rgb), 0.6, 1.2)
    sharp = np.clip(flat + unsharp * (flat - cv2.GaussianBlur(flat, (0, 0), cell_px / 9)), 0.6, 1.2)
    scaled = np.asarray((sharp - 0.6) / 0.6 * 255, np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ground = np.percentile(scaled, 92)
    # A field without cells has no two levels: what differs from the ground by less than 8 levels is noise.
    return np.asarray(scaled < ground - level * max(ground - otsu, 8.0), np.bool_)


def foreground(rgb: RgbImage, cell_px: float) -> BoolMask:
    """Pixels that belong to cells, `(H, W) bool`; pallor inside a cell is filled.

    Args:
        rgb: `(H, W, 3) uint8`.
        cell_px: usual cell diameter in px; sets the scale of smoothing and hole filling.
    """
    mask = darker_than_ground(rgb, cell_px)
    mask = ndimage.binary_opening(mask, iterations=max(1, round(cell_px / 36)))
    return _fill_small_holes(mask, max_area_px2=0.35 * cell_px**2)


def _fill_small_holes(mask: BoolMask, max_area_px2: float) -> BoolMask:
    """Fill holes no larger than a pallor; larger ones are background enclosed by a ring of cells."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    areas = np.bincount(holes.ravel())
    small = areas <= max_area_px2
    small[0] = False
    return np.asarray(mask | small[holes], np.bool_)


def split_instances(mask: BoolMask, cell_px: float, seeds_xy_px: npt.NDArray[np.float64] | None = None) -> Labels:
    """Watershed-split a foreground into cells, `(H, W) int32`, 0 is background.

    Args:
        mask: `(H, W) bool`.
        cell_px: usual cell diameter in px.
        seeds_xy_px: `(N, 2)` points known to lie in N different cells. Seed i becomes label i + 1; further
            cells get the labels after N. A seed on background leaves its label empty.
    """
    exact = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    distance = cv2.GaussianBlur(exact, (0, 0), cell_px / 24)
    # Half resolution: the map is smooth, and h_maxima is four fifths of the cost of this function.
    peaks, count = ndimage.label(h_maxima(distance[::2, ::2], max(0.75, cell_px / 40)) > 0)
    seeds = np.empty((0, 2)) if seeds_xy_px is None else np.asarray(seeds_xy_px, np.float64)
    markers = np.zeros(mask.shape, np.int32)
    if count:
        centres = np.asarray(ndimage.center_of_mass(peaks, peaks, np.arange(1, count + 1)))[:, ::-1] * 2
        for offset, (x, y) in enumerate(centres):
            if len(seeds) and np.min(np.hypot(*(seeds - (x, y)).T)) < 0.5 * cell_px:
                continue  # the labelled point speaks for this peak
            markers[int(y), int(x)] = len(seeds) + 1 + offset
    for number, (x, y) in enumerate(seeds, start=1):
        cv2.circle(markers, (round(x), round(y)), max(1, round(cell_px / 12)), number, -1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


def instances(labels: Labels) -> list[Instance]:
    """Boxes and areas of a label image, in order of label."""
    return [
        Instance((float(p.bbox[1]), float(p.bbox[0]), float(p.bbox[3]), float(p.bbox[2])), float(p.area), int(p.label))
        for p in regionprops(labels)
    ]


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
