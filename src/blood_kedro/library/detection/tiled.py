"""Detection on images that are larger than a detector was trained for: tile by tile, at a cost that grows linearly.

Neighbouring tiles overlap. Each detection belongs to the tile whose core (the part nearer to its own middle than to a
neighbour's) holds its centre, where the cell is seen whole; so a cell at a border is neither cut nor counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.limits import SAME_CELL_IOU
from blood_kedro.library.imaging.tiling import Tile, overlapping_tiles

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models.detection import FasterRCNN

# Two tiles may see the centre of one cell on different sides of a seam: both keep it within this share of the overlap,
# and the better of the two stays.
_SEAM_SHARE = 0.25
# An image with a longer side is cut into tiles of this side.
TILED_ABOVE_PX, TILE_PX = 2000, 640
# An image with a shorter side than this shows no cell.
LEAST_PX = 8


@dataclass(frozen=True)
class Detections:
    """Cells found in one image: `boxes (N, 4)` xyxy px of the image, `labels (N,)` from 1, `scores (N,)`."""

    boxes: boxlib.Boxes
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]


# Cells of some pictures `(h, w, 3) uint8`, each in px of its picture.
Find = Callable[[list[npt.NDArray[np.uint8]]], list[Detections]]


def find_in_tiles(
    find: Find, image: npt.NDArray[np.uint8], *, tile_px: int, overlap_px: int, batch_size: int
) -> Detections:
    """Find the cells of a large image; one with a side of less than `LEAST_PX` has none.

    Args:
        find: cells of each of some pictures `(h, w, 3) uint8`, in px of that picture.
        image: `(H, W, 3) uint8` RGB; a memory map will do: only one batch of tiles is read at a time.
        tile_px: side of a tile. Cells should take the share of it that they took of a training image.
        overlap_px: at least the largest cell.
        batch_size: tiles at once.

    Raises:
        ConfigurationError: the overlap is not smaller than half a tile.
    """
    if min(image.shape[:2]) < LEAST_PX:
        return Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    height, width = image.shape[:2]
    margin = _SEAM_SHARE * overlap_px
    by_tile: dict[tuple[int, int], Detections] = {}
    todo = list(overlapping_tiles(width, height, tile_px, overlap_px))
    for start in range(0, len(todo), batch_size):
        batch = todo[start : start + batch_size]
        pixels = [np.ascontiguousarray(image[t.area[1] : t.area[3], t.area[0] : t.area[2]]) for t in batch]
        for tile, of_tile in zip(batch, find(pixels), strict=True):
            detections = _owned(of_tile, tile, margin)
            for neighbour in _earlier(tile):
                if neighbour in by_tile:
                    detections, by_tile[neighbour] = _better(detections, by_tile[neighbour])
            by_tile[tile.row, tile.column] = detections
    return _joined(list(by_tile.values()))


def detect_tiled(
    network: FasterRCNN,
    image: npt.NDArray[np.uint8],
    prepare: Callable[[Tensor], Tensor],
    *,
    tile_px: int = 640,
    overlap_px: int = 160,
    batch_size: int = 4,
) -> Detections:
    """Find the cells of a large image with a detector of torchvision's kind; the rest as `find_in_tiles`.

    Args:
        network: a detector that predicts.
        image: see there.
        prepare: of `transforms.preprocessing`, as in training.
        tile_px: see there.
        overlap_px: see there.
        batch_size: see there.

    Raises:
        ConfigurationError: the overlap is not smaller than half a tile.
    """

    def find(pictures: list[npt.NDArray[np.uint8]]) -> list[Detections]:
        import torch

        device = next(network.parameters()).device
        inputs = [prepare(torch.from_numpy(p).permute(2, 0, 1)).to(device).float() / 255 for p in pictures]
        with torch.inference_mode():
            return [_in_numpy(output) for output in network(inputs)]

    return find_in_tiles(find, image, tile_px=tile_px, overlap_px=overlap_px, batch_size=batch_size)


def _in_numpy(output: dict[str, Tensor]) -> Detections:
    boxes, scores = (output[name].cpu().numpy().astype(np.float64) for name in ("boxes", "scores"))
    return Detections(boxes, output["labels"].cpu().numpy(), scores)


def detect_image(
    network: FasterRCNN,
    pixels: npt.NDArray[np.uint8],
    prepare: Callable[[Tensor], Tensor],
    tile_px: int = TILE_PX,
    tiled_above_px: int = TILED_ABOVE_PX,
) -> Detections:
    """Cells of one image `(H, W, 3) uint8`: as a whole, scaled inside the network, or in tiles if it is large."""
    # A single tile is the whole image: nothing is cut, nothing is removed.
    longest = max(pixels.shape[:2])
    side = tile_px if longest > tiled_above_px else longest
    return detect_tiled(network, pixels, prepare, tile_px=side, overlap_px=max(side // 4, 1))


def _owned(detections: Detections, tile: Tile, margin: float) -> Detections:
    """Detections of a tile whose centre lies in its core, or just beyond, in px of the image."""
    boxes = detections.boxes + np.tile(tile.area[:2], 2)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = np.array(tile.core[:2]) - margin, np.array(tile.core[2:]) + margin
    return _without(
        Detections(boxes, detections.labels, detections.scores), ~((centre >= low) & (centre < high)).all(axis=1)
    )


def _earlier(tile: Tile) -> list[tuple[int, int]]:
    """Neighbours that come before this tile: left, and the three above."""
    r, c = tile.row, tile.column
    return [(r, c - 1), (r - 1, c - 1), (r - 1, c), (r - 1, c + 1)]


def _better(a: Detections, b: Detections) -> tuple[Detections, Detections]:
    """Of cells that two tiles both found, whatever they call them, the one with the better score stays."""
    same = boxlib.iou(a.boxes, b.boxes) >= SAME_CELL_IOU
    a_wins = a.scores[:, None] >= b.scores[None]
    worse_of_a, worse_of_b = np.any(same & ~a_wins, axis=1), np.any(same & a_wins, axis=0)
    return _without(a, np.asarray(worse_of_a)), _without(b, np.asarray(worse_of_b))


def _without(detections: Detections, gone: npt.NDArray[np.bool_]) -> Detections:
    return Detections(detections.boxes[~gone], detections.labels[~gone], detections.scores[~gone])


def _joined(parts: list[Detections]) -> Detections:
    joined = Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.scores for p in parts]),
    )
    order = np.argsort(-joined.scores, kind="stable")
    return Detections(joined.boxes[order], joined.labels[order], joined.scores[order])
