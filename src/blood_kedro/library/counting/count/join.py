"""Cells that the borders of tiles cut in two are put together again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_kedro.library.counting.count.mask_table import MaskTable
from blood_kedro.library.counting.open.tiles import Grid
from blood_kedro.library.counting.pieces import Piece

# Two halves of a cell meet along this share of the shorter of their cut edges.
_MIN_CONTACT = 0.5


def join_across_borders(grid: Grid, table: MaskTable) -> npt.NDArray[np.int64]:
    """The cell of each mask, numbered from 1 over the whole smear in the order of first masks.

    Two masks of neighbouring tiles are one cell if they meet at the border for at least half of the shorter cut edge;
    each edge takes the partner it meets longest, so that two cells side by side are not tied together.

    Args:
        grid: of the smear.
        table: of the masks of its tiles.

    Returns:
        One number per mask, `(N,) int64`.
    """
    # Position of a border -> masks that end there, and masks that begin there.
    ends: dict[tuple[int, int], list[int]] = defaultdict(list)
    begins: dict[tuple[int, int], list[int]] = defaultdict(list)
    borders = [{place.core_xyxy_px[k] for place in grid.places} for k in range(4)]
    for number, each in table.cut.items():
        x_min, y_min, x_max, y_max = each.box_xyxy_px
        for axis, low, high in ((0, x_min, x_max), (1, y_min, y_max)):
            if low in borders[axis]:
                begins[axis, low].append(number)
            if high in borders[axis + 2]:
                ends[axis, high].append(number)
    links = [
        link
        for (axis, position), after in begins.items()
        for link in _links(table.cut, ends.get((axis, position), []), after, axis)
    ]
    i, j = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(table), len(table)))
    components = connected_components(graph, directed=False)[1]
    return np.asarray(pd.factorize(components)[0] + 1, np.int64)


def _links(pieces: Mapping[int, Piece], before: list[int], after: list[int], axis: int) -> list[tuple[int, int]]:
    """Pairs that meet at one border, longest contact first, each edge used once."""
    contacts = []
    edges = {number: _edge(pieces[number], axis, last=True) for number in before}
    for right in after:
        start, edge = _edge(pieces[right], axis, last=False)
        for left, (other_start, other) in edges.items():
            contact = _contact(start, edge, other_start, other)
            if contact >= _MIN_CONTACT * min(edge.sum(), other.sum()) and contact > 0:
                contacts.append((contact, left, right))
    used: set[tuple[str, int]] = set()
    links = []
    for _, left, right in sorted(contacts, key=lambda row: (-row[0], row[1], row[2])):
        if ("left", left) not in used and ("right", right) not in used:
            used |= {("left", left), ("right", right)}
            links.append((left, right))
    return links


def _edge(each: Piece, axis: int, *, last: bool) -> tuple[int, npt.NDArray[np.bool_]]:
    """Where along a border a mask touches it: the start of its box there, and the pixels."""
    line = -1 if last else 0
    return (each.top, each.mask[:, line]) if axis == 0 else (each.left, each.mask[line])


def _contact(start: int, edge: npt.NDArray[np.bool_], other_start: int, other: npt.NDArray[np.bool_]) -> int:
    low, high = max(start, other_start), min(start + len(edge), other_start + len(other))
    if low >= high:
        return 0
    return int((edge[low - start : high - start] & other[low - other_start : high - other_start]).sum())
