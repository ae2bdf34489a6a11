"""Which cells of one kind touch, or lie on each other: clumps, also across the borders of tiles; lobes of a nucleus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from blood_kedro.library.core.boxes import BOX_COLUMNS, area
from blood_kedro.library.core.limits import LEAST_OVERLAP_SHARE
from blood_kedro.library.counting.open.tiles import Grid
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.segment.filters import single_area
from blood_kedro.library.counting.segment.tiles import SmearMasks


def clumps(
    numbers: npt.NDArray[np.int64],
    masks: SmearMasks,
    grid: Grid,
    labels: npt.NDArray[np.object_],
    debris: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """The group of touching cells of one kind that each cell lies in; debris ties nothing together."""
    links: list[npt.NDArray[np.int64]] = []
    start = 0
    strips: dict[tuple[int, int], list[npt.NDArray[np.int64]]] = {}
    for place, tile in zip(grid.places, masks.pieces, strict=True):
        cell_numbers = numbers[start : start + len(tile)]
        start += len(tile)
        left, top, right, bottom = place.core_xyxy_px
        if right <= left or bottom <= top:
            continue  # an anchored tile that shows nothing new
        painted = np.zeros((bottom - top, right - left), np.int64)
        for each, number in zip(tile, cell_numbers, strict=True):
            painted[each.moved(-left, -top).window][each.mask] = number
        links += [_touching(painted[:, :-1], painted[:, 1:]), _touching(painted[:-1], painted[1:])]
        links += [_touching(painted[:-1, :-1], painted[1:, 1:]), _touching(painted[:-1, 1:], painted[1:, :-1])]
        links += _across_borders(strips, painted, place.core_xyxy_px, grid)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *links]) - 1
    alike = (labels[pairs[:, 0]] == labels[pairs[:, 1]]) & ~debris[pairs].any(axis=1)
    pairs = pairs[alike]
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(labels), len(labels)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _across_borders(
    strips: dict[tuple[int, int], list[npt.NDArray[np.int64]]],
    painted: npt.NDArray[np.int64],
    core: tuple[int, int, int, int],
    grid: Grid,
) -> list[npt.NDArray[np.int64]]:
    """Cells that touch across the left and upper border of a core; its other two edges are kept for tiles to come.

    Args:
        strips: two lines for each border, as long as the smear: what lies before it and behind it.
        painted: numbers of the cells in the core.
        core: its place.
        grid: of the smear.
    """
    left, top, right, bottom = core
    links = []
    for axis, low, high, first, last, span in (
        (0, left, right, painted[:, 0], painted[:, -1], slice(top, bottom)),
        (1, top, bottom, painted[0], painted[-1], slice(left, right)),
    ):
        length = grid.height_px if axis == 0 else grid.width_px
        for position, side, line in ((low, 1, first), (high, 0, last)):
            pair = strips.setdefault((axis, position), [np.zeros(length, np.int64), np.zeros(length, np.int64)])
            pair[side][span] = line
            reach = slice(max(0, span.start - 1), span.stop + 1)
            before, behind = pair[0][reach], pair[1][reach]
            links += [_touching(before, behind), _touching(before[1:], behind[:-1]), _touching(before[:-1], behind[1:])]
    return links


def overlapping(cells: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The group of cells of one kind that lie on each other, of each cell that a detector found and told apart.

    Cells that only touch are apart: their boxes share less than `LEAST_OVERLAP_SHARE` of the smaller one.

    Args:
        cells: `label` and the box in px of the smear.
    """
    boxes = cells[list(BOX_COLUMNS)].to_numpy(np.float64)
    labels = cells["label"].to_numpy(object)
    near = np.zeros((0, 2), np.int64)
    for label in np.unique(labels.astype(str)):
        rows = np.flatnonzero(labels == label)
        sides = boxes[rows, 2:] - boxes[rows, :2]
        middles = (boxes[rows, :2] + boxes[rows, 2:]) / 2
        near = np.concatenate([near, rows[cKDTree(middles).query_pairs(float(sides.max()), output_type="ndarray")]])
    low = np.maximum(boxes[near[:, 0], :2], boxes[near[:, 1], :2])
    high = np.minimum(boxes[near[:, 0], 2:], boxes[near[:, 1], 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    smaller = np.minimum(area(boxes)[near[:, 0]], area(boxes)[near[:, 1]])
    pairs = near[shared > LEAST_OVERLAP_SHARE * smaller]
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _touching(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    differ = (a > 0) & (b > 0) & (a != b)
    return np.unique(np.stack([a[differ], b[differ]], axis=1), axis=0)


def lobes_together(cells: pd.DataFrame, clump: npt.NDArray[np.int64], options: SmearInput) -> npt.NDArray[np.int64]:
    """Clumps in which the lobes of one nucleus, masks of their own, are one.

    Two parts of white cells are of one cell if their middles are nearer than a red cell is wide and both are smaller
    than one; whole white cells are larger and further apart.
    """
    small = cells["area_px2"] < single_area(options.cell_px)
    rows = np.flatnonzero((cells["label"].eq("wbc") & small).to_numpy())
    near = cKDTree(cells[["x_px", "y_px"]].to_numpy(np.float64)[rows]).query_pairs(
        options.cell_px, output_type="ndarray"
    )
    ids = pd.factorize(clump)[0]
    pairs = ids[rows[near]].reshape(-1, 2)
    count = int(ids.max()) + 1 if len(ids) else 0
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][ids], np.int64)
