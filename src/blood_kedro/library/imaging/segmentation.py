"""Classical segmentation of stained cells: the instances of a field.

Used to measure boxes that a source does not give (Chula: a point per cell) and to
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
from skimage.segmentation import watershed

from blood_kedro.library.imaging.regions import components, holes, opened, windows_of
from blood_kedro.library.imaging.summits import summits

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
    green = np.asarray(rgb[..., 1], np.uint8)
    height, width = green.shape
    grid = _block_percentiles(green, max(1, round(height / 64)), max(1, round(width / 64)), 90).astype(np.float32)
    grid = ndimage.median_filter(grid, size=3, mode="nearest")
    # A block that lies wholly inside a cell or the dark frame is not background: lift it to the usual level.
    grid = np.maximum(grid, np.median(grid) * 0.9)
    background = cv2.GaussianBlur(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 16)
    return np.asarray(green / np.maximum(background, 1.0), np.float32)


def _block_percentiles(green: npt.NDArray[np.uint8], rows: int, columns: int, share: float) -> npt.NDArray[np.float64]:
    """A percentile (`share`, 0..100) of each of so many blocks, `(rows, columns)`, linear as numpy's."""
    column_of = np.repeat(
        np.arange(columns), [len(part) for part in np.array_split(np.arange(green.shape[1]), columns)]
    )
    grid = []
    for band in np.array_split(green, rows):
        levels = np.bincount((column_of * 256 + band).ravel(), minlength=columns * 256).reshape(columns, 256).cumsum(1)
        place = share / 100 * (levels[:, -1] - 1)
        low, high = ((levels <= at[:, None]).sum(axis=1) for at in (np.floor(place), np.ceil(place)))
        grid.append(low + (high - low) * (place % 1))
    return np.asarray(grid, np.float64)


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
    ground = _block_percentiles(scaled, 1, 1, 92).item()
    # A field without cells has no two levels: what differs from the ground by less than 8 levels is noise.
    return np.asarray(scaled < ground - level * max(ground - otsu, 8.0), np.bool_)


def foreground(rgb: RgbImage, cell_px: float) -> BoolMask:
    """Pixels that belong to cells, `(H, W) bool`; pallor inside a cell is filled.

    Args:
        rgb: `(H, W, 3) uint8`.
        cell_px: usual cell diameter in px; sets the scale of smoothing and hole filling.
    """
    mask = opened(darker_than_ground(rgb, cell_px), max(1, round(cell_px / 36)))
    return _fill_small_holes(mask, max_area_px2=0.35 * cell_px**2)


def _fill_small_holes(mask: BoolMask, max_area_px2: float) -> BoolMask:
    """Fill holes no larger than a pallor; larger ones are background enclosed by a ring of cells."""
    ground = holes(mask)
    return np.asarray(mask | (ground.enclosed & (ground.areas_px2 <= max_area_px2))[ground.labels], np.bool_)


def split_instances(mask: BoolMask, cell_px: float, seeds_xy_px: npt.NDArray[np.float64] | None = None) -> Labels:
    """Watershed-split a foreground into cells, `(H, W) int32`, 0 is background.

    Args:
        mask: `(H, W) bool`.
        cell_px: usual cell diameter in px.
        seeds_xy_px: `(N, 2)` points known to lie in N different cells. Seed i becomes label i + 1; further
            cells get the labels after N. A seed on background leaves its label empty.
    """
    exact = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    distance = np.asarray(cv2.GaussianBlur(exact, (0, 0), cell_px / 24), np.float32)
    # Half resolution: the map is smooth.
    peaks = components(summits(distance[::2, ::2], max(0.75, cell_px / 40)))
    seeds = np.empty((0, 2)) if seeds_xy_px is None else np.asarray(seeds_xy_px, np.float64)
    markers = np.zeros(mask.shape, np.int32)
    for offset, (x, y) in enumerate(peaks.centres_xy_px[1:] * 2):
        if len(seeds) and np.min(np.hypot(*(seeds - (x, y)).T)) < 0.5 * cell_px:
            continue  # the labelled point speaks for this peak
        markers[int(y), int(x)] = len(seeds) + 1 + offset
    for number, (x, y) in enumerate(seeds, start=1):
        cv2.circle(markers, (round(x), round(y)), max(1, round(cell_px / 12)), number, -1)
    return _flooded(distance, markers, mask)


def _flooded(distance: npt.NDArray[np.float32], markers: Labels, mask: BoolMask) -> Labels:
    """Watershed of a mask from its markers; a component with a single marker is that marker's without flooding."""
    parts = components(mask)
    places = np.flatnonzero(markers * mask)
    pairs = np.unique(np.stack([parts.labels.ravel()[places], markers.ravel()[places]]), axis=1)
    inhabitants = np.bincount(pairs[0], minlength=len(parts.areas_px2))
    only = np.zeros(len(parts.areas_px2), np.int32)
    only[pairs[0]] = pairs[1]
    labels = np.where(inhabitants == 1, only, 0)[parts.labels]
    shared = (inhabitants > 1)[parts.labels]
    if shared.any():
        labels = np.where(shared, watershed(-distance, markers, mask=shared), labels)
    return np.asarray(labels, np.int32)


def instances(labels: Labels) -> list[Instance]:
    """Boxes and areas of a label image, in order of label."""
    areas = np.bincount(labels.ravel())
    return [
        Instance((float(x.start), float(y.start), float(x.stop), float(y.stop)), float(areas[number]), number)
        for number, (y, x) in windows_of(labels)
    ]
