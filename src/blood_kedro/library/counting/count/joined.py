"""Masks of tiles as the masks of cells: one each, with a row of what is known of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.counting.name.cell_types import CELL_TYPES, Floats
from blood_kedro.library.counting.open.tiles import Grid, open_sides
from blood_kedro.library.counting.pieces import Piece, piece, solidity


def joined_masks(flat: list[Piece], numbers: npt.NDArray[np.int64]) -> list[Piece]:
    """One mask per cell, its parts painted into one box; `numbers` are those of `join_across_borders`."""
    parts: dict[int, list[Piece]] = {}
    for each, number in zip(flat, numbers.tolist(), strict=True):
        parts.setdefault(number, []).append(each)
    return [parts[n][0] if len(parts[n]) == 1 else _union(parts[n]) for n in range(1, len(parts) + 1)]


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
    joined: list[Piece],
    flat: list[Piece],
    numbers: npt.NDArray[np.int64],
    shares: Floats,
    tile_of: npt.NDArray[np.int64],
    grid: Grid,
) -> pd.DataFrame:
    """One row per cell; its kind is what its parts say, weighted by their areas."""
    weights = np.array([each.area_px2 for each in flat], np.float64)
    total = np.bincount(numbers, weights, len(joined) + 1)[1:]
    said = np.stack([np.bincount(numbers, weights * share, len(joined) + 1)[1:] for share in shares.T], axis=1)
    p = said / np.maximum(total, 1)[:, None]
    first = np.zeros(len(joined), np.int64)
    first[numbers[::-1] - 1] = tile_of[::-1]
    boxes = np.array([each.box_xyxy_px for each in joined], np.int64).reshape(-1, 4)
    centres = np.array([each.centre_xy_px for each in joined], np.float64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "cell": np.arange(1, len(joined) + 1),
            "tile": [grid.places[k].name for k in first],
            "x_px": centres[:, 0],
            "y_px": centres[:, 1],
            "x_min_px": boxes[:, 0],
            "y_min_px": boxes[:, 1],
            "x_max_px": boxes[:, 2],
            "y_max_px": boxes[:, 3],
            "area_px2": total.astype(np.int64),
            "solidity": [solidity(each.mask) for each in joined],
            "label": np.array(CELL_TYPES, object)[p.argmax(axis=1)] if len(joined) else np.array([], object),
            "confidence": p.max(axis=1) if len(joined) else np.array([]),
            "at_border": np.bincount(numbers, _cut(flat, tile_of, grid), len(joined) + 1)[1:] > 0,
        }
    )


def _cut(flat: list[Piece], tile_of: npt.NDArray[np.int64], grid: Grid) -> npt.NDArray[np.bool_]:
    """Whether a piece touches a side of its tile's core beyond which nothing of the smear is counted."""
    cores = np.array([place.core_xyxy_px for place in grid.places], np.int64).reshape(-1, 4)
    boxes = np.array([each.box_xyxy_px for each in flat], np.int64).reshape(-1, 4)
    return np.asarray(((boxes == cores[tile_of]) & open_sides(grid)[tile_of]).any(axis=1), np.bool_)
