"""What is known of masks of tiles without their pixels: those of a whole slide take gigabytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.open.tiles import Grid
from blood_kedro.library.counting.pieces import Piece


@dataclass(frozen=True)
class MaskTable:
    """The masks of all tiles, laid end to end: a cell is one of them, or several where borders cut it.

    Attributes:
        tile: `(N,) int64`, place of each in the grid.
        boxes: `(N, 4) int64`, half-open, px of the smear.
        areas: `(N,) int64`, px^2.
        detected: whether a segmenter said of all of them what they are.
        cut: those that end at a border of a tile, by number, with their pixels.
    """

    tile: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]
    detected: bool
    cut: dict[int, Piece]

    def __len__(self) -> int:
        """How many masks."""
        return len(self.tile)


def mask_table(grid: Grid, tiles: Iterable[Sequence[Piece]]) -> MaskTable:
    """Look at the masks of each place of a grid, px of the smear, once.

    Args:
        grid: of the smear.
        tiles: of each place of the grid, inside the place's core.
    """
    borders = [np.unique([place.core_xyxy_px[k] for place in grid.places]) for k in range(4)]
    boxes, areas, sizes, detected = [np.zeros((0, 4), np.int64)], list[int](), list[int](), True
    cut: dict[int, Piece] = {}
    for tile in tiles:
        mine = np.array([each.box_xyxy_px for each in tile], np.int64).reshape(-1, 4)
        at_border = np.any([np.isin(mine[:, k], borders[k]) for k in range(4)], axis=0)
        cut |= {len(areas) + int(k): tile[int(k)] for k in np.flatnonzero(at_border)}
        boxes.append(mine)
        areas += [each.area_px2 for each in tile]
        sizes.append(len(tile))
        detected &= all(each.kind is not None for each in tile)
    return MaskTable(
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate(boxes),
        np.array(areas, np.int64),
        detected and bool(areas),
        cut,
    )
