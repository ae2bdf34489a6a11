"""Masks of tiles as the masks of cells: one each, with a row of what is known of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.masks import encode_rle
from blood_kedro.library.counting.count.mask_table import MaskTable
from blood_kedro.library.counting.name.cell_types import CELL_TYPES, Floats
from blood_kedro.library.counting.open.tiles import Grid, open_sides
from blood_kedro.library.counting.pieces import Piece, piece, solidity

MASK_COLUMNS = ["cell", "left_px", "top_px", "width_px", "height_px", "counts"]


def joined_masks(tiles: Iterable[Sequence[Piece]], table: MaskTable, numbers: npt.NDArray[np.int64]) -> Iterator[Piece]:
    """One mask per cell in the order of their numbers, its parts painted into one box, tile by tile.

    Args:
        tiles: masks of each place of the grid, px of the smear.
        table: of them.
        numbers: of `join_across_borders`.
    """
    several = np.bincount(numbers) > 1
    of_cell: dict[int, list[Piece]] = defaultdict(list)
    for k, each in table.cut.items():
        if several[numbers[k]]:
            of_cell[int(numbers[k])].append(each)
    for number, each in zip(numbers.tolist(), chain.from_iterable(tiles), strict=True):
        if not several[number]:
            yield each
        elif number in of_cell:  # its first part: the others are not far, and were kept
            yield _union(of_cell.pop(number))


def _union(parts: list[Piece]) -> Piece:
    boxes = np.array([each.box_xyxy_px for each in parts])
    left, top = (int(v) for v in boxes[:, :2].min(axis=0))
    right, bottom = (int(v) for v in boxes[:, 2:].max(axis=0))
    canvas = np.zeros((bottom - top, right - left), np.bool_)
    for each in parts:
        canvas[each.moved(-left, -top).window] |= each.mask
    union = piece(canvas, left, top, float(np.mean([p.score for p in parts])))
    if union is None:
        raise ValueError("a cell without pixels")
    return union


def table_of_cells(
    joined: Iterable[Piece], table: MaskTable, numbers: npt.NDArray[np.int64], shares: Floats, grid: Grid
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per cell, and one with its mask; its kind is what its parts say, weighted by their areas.

    Args:
        joined: its mask, of each cell (`joined_masks`).
        table: of the masks of all tiles.
        numbers: of `join_across_borders`.
        shares: `(N, 3)`, probabilities of `CELL_TYPES` of each part.
        grid: of the smear.
    """
    weights, cells = table.areas.astype(np.float64), int(numbers.max(initial=0))
    total = np.bincount(numbers, weights, cells + 1)[1:]
    said = np.stack([np.bincount(numbers, weights * share, cells + 1)[1:] for share in shares.T], axis=1)
    p = said / np.maximum(total, 1)[:, None]
    first = np.zeros(cells, np.int64)
    first[numbers[::-1] - 1] = table.tile[::-1]
    boxes, centres, solidities = np.zeros((cells, 4), np.int64), np.zeros((cells, 2)), np.zeros(cells)
    encoded = []
    for k, each in enumerate(joined):
        boxes[k], centres[k], solidities[k] = each.box_xyxy_px, each.centre_xy_px, solidity(each.mask)
        encoded.append(encode_rle(each.mask))
    rows = pd.DataFrame(
        {
            "cell": np.arange(1, cells + 1),
            "tile": [grid.places[k].name for k in first],
            "x_px": centres[:, 0],
            "y_px": centres[:, 1],
            "x_min_px": boxes[:, 0],
            "y_min_px": boxes[:, 1],
            "x_max_px": boxes[:, 2],
            "y_max_px": boxes[:, 3],
            "area_px2": total.astype(np.int64),
            "solidity": solidities,
            "label": np.array(CELL_TYPES, object)[p.argmax(axis=1)] if cells else np.array([], object),
            "confidence": p.max(axis=1) if cells else np.array([]),
            "at_border": np.bincount(numbers, _ends_at_an_open_side(table, grid), cells + 1)[1:] > 0,
        }
    )
    sides = boxes[:, 2:] - boxes[:, :2]
    masks = pd.DataFrame(dict(zip(MASK_COLUMNS, (rows["cell"], *boxes.T[:2], *sides.T, encoded), strict=True)))
    return rows, masks


def _ends_at_an_open_side(table: MaskTable, grid: Grid) -> npt.NDArray[np.bool_]:
    """Whether a mask touches a side of its tile's core beyond which nothing of the smear is counted."""
    cores = np.array([place.core_xyxy_px for place in grid.places], np.int64).reshape(-1, 4)
    touches = (table.boxes == cores[table.tile]) & open_sides(grid)[table.tile]
    return np.asarray(touches.any(axis=1), np.bool_)
