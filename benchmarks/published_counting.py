"""What Rao et al. 2024 do after SAM, as docs/facts/peer.md#what-the-code-does has it: whole frames, one by one.

Written from that description (no code of the authors), as what the project's own steps are compared with: in the tests
by result, in the benchmark by time.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from scipy.signal import find_peaks
from scipy.stats import gaussian_kde

EIGHT = np.ones((3, 3), np.bool_)


def filtered(frames: list[np.ndarray], least: int = 300, most: int = 9000) -> list[np.ndarray]:
    """Masks `(H, W) bool` that are left: largest first those that add a pixel, then smallest first what is new."""
    order = sorted(range(len(frames)), key=lambda k: -int(frames[k].sum()))
    chosen: list[int] = []
    covered = np.zeros_like(frames[0]) if frames else np.zeros((0, 0), np.bool_)
    for k in order:
        if least <= frames[k].sum() <= most and (frames[k] & ~covered).any():
            covered = covered | frames[k]
            chosen.append(k)
    covered = np.zeros_like(covered)
    masks = []
    for k in reversed(chosen):
        labels, count = ndimage.label(frames[k] & ~covered, EIGHT)
        covered = covered | frames[k]
        masks += [labels == n for n in range(1, count + 1) if (labels == n).sum() > least]
    return masks


def count_tiles(folder: Path, places: dict[str, tuple[int, int]], tile_px: int = 512) -> tuple[int, int]:
    """Red cells of a smear and its connected regions, all masks taken for red cells.

    Args:
        folder: of masks, one sub-folder of PNG files per tile.
        places: tile to its column and row, from 0.
        tile_px: side of a tile.
    """
    width, height = (tile_px * (1 + max(place[k] for place in places.values())) for k in (0, 1))
    whole = np.zeros((height, width), np.uint8)
    for name, (column, row) in places.items():
        paths = sorted((folder / name).glob("*.png"), key=lambda path: int(path.stem))
        frames = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for path in paths]
        painted = np.zeros((tile_px, tile_px, 3), np.uint8)
        for mask in filtered(frames):
            painted[mask] = (255, 0, 0)
        left, top = column * tile_px, row * tile_px
        whole[top : top + tile_px, left : left + tile_px] = painted[..., 0] > 0
    count, _, stats, _ = cv2.connectedComponentsWithStats(whole, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(float)
    grid = np.linspace(areas.min(), areas.max(), 1000)
    peaks = grid[find_peaks(gaussian_kde(areas)(grid))[0]]
    thresholds = ((peaks[:-1] + peaks[1:]) / 2)[:3]
    return int((1 + (areas[:, None] > thresholds).sum(axis=1)).sum()), count - 1
