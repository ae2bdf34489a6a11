"""A smear as tiles: an image of any size cut into them, or a folder of tiles put back where they were taken.

Every pixel of a smear belongs to the core of exactly one tile. Where tiles show more than their core (because they were
asked to overlap, or because the last column of an export was anchored to the edge), what is found outside of the core
is cut off: the neighbour's core has the rest of it, and `join.py` puts both together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.imaging.tiling import abutting_cores

RgbImage = npt.NDArray[np.uint8]
_NAME = re.compile(r"^(?P<smear>.*?)_?(?P<column>\d+)_(?P<row>\d+)$")
# Two tiles show the same pixels in a strip of at least so many px if these differ by no more than this on average.
_MIN_STRIP_PX, _SAME_LEVELS = 8, 2.0
# Share of a grid that is there: from the first on, names are taken for places in it; below the second, they are none
# even where somebody says so (a grid of dates has millions of holes).
_FILLED, _LEAST_FILLED = 0.5, 0.02


@dataclass(frozen=True)
class Place:
    """Where a tile lies in its smear, px: its top left corner, its size, and its core, half-open and in the smear."""

    name: str
    left: int
    top: int
    width: int
    height: int
    core_xyxy_px: tuple[int, int, int, int]


@dataclass(frozen=True)
class Grid:
    """Tiles of one smear.

    Attributes:
        smear: its name, `""` if the tiles have none.
        width_px: of the whole smear; `height_px` likewise.
        places: of the tiles that are there, row by row.
        missing: names of the tiles that the grid has a hole for.
    """

    smear: str
    width_px: int
    height_px: int
    places: tuple[Place, ...]
    missing: tuple[str, ...] = ()


def open_sides(grid: Grid) -> npt.NDArray[np.bool_]:
    """Of each tile the sides of its core that no other tile's core touches, `(N, 4)`: left, top, right, bottom.

    There the smear ends, or a hole of it begins, or a field that is not counted: cells are cut.
    """
    cores = np.array([place.core_xyxy_px for place in grid.places], np.int64).reshape(-1, 4)
    at: dict[tuple[int, int], list[int]] = {}
    for number, core in enumerate(cores):
        for side in range(4):
            at.setdefault((side, int(core[side])), []).append(number)
    sides = np.ones(cores.shape, np.bool_)
    for number, core in enumerate(cores):
        for side in range(4):
            along = 1 - side % 2
            across = cores[at.get(((side + 2) % 4, int(core[side])), [])]
            meets = (across[:, along] < core[along + 2]) & (across[:, along + 2] > core[along])
            sides[number, side] = not meets.any()
    return sides


def cut_into_tiles(width_px: int, height_px: int, tile_px: int, overlap_px: int = 0) -> Grid:
    """Tiles of an image, row by row: with remainders and no overlap (Rao et al. 2024, section 3.2), or overlapping.

    Args:
        width_px: of the image.
        height_px: of the image.
        tile_px: side of a core.
        overlap_px: how much further than its core a tile shows, on every side.

    Raises:
        ConfigurationError: tiles of no size, or that overlap by more than a half.
    """
    if tile_px < 16 or not 0 <= overlap_px <= tile_px // 2:
        raise ConfigurationError(
            "tiles need a side of 16 px, and may overlap by half of it",
            where="sam_counting.tiles",
            got=f"tile_px {tile_px}, overlap_px {overlap_px}",
        )
    places = []
    for tile, core in abutting_cores(width_px, height_px, tile_px, overlap_px):
        left, top, right, bottom = tile.area
        places.append(Place(f"{tile.column}_{tile.row}", left, top, right - left, bottom - top, core))
    return Grid("", width_px, height_px, tuple(places))


def tile_name(stem: str) -> tuple[str, int, int] | None:
    """Smear, column and row of a file named `[<smear>_]<column>_<row>`; None if it is named otherwise."""
    match = _NAME.match(stem)
    return (match["smear"], int(match["column"]), int(match["row"])) if match else None


def make_grids(stems: Collection[str]) -> bool:
    """Whether names `[<smear>_]<column>_<row>` are places in grids: of each grid that they make, half is there.

    Dates and times, or numbers of patients, look like columns and rows, too, and fill next to nothing.
    """
    smears: dict[str, set[tuple[int, int]]] = {}
    for stem in stems:
        parts = tile_name(stem)
        if parts is None:
            return False
        smears.setdefault(parts[0], set()).add(parts[1:])
    return any(len(cells) > 1 for cells in smears.values()) and all(
        len(cells) >= _FILLED * _places(cells) for cells in smears.values()
    )


def _places(cells: Collection[tuple[int, int]]) -> int:
    """Places of the smallest grid that holds columns and rows, there or not."""
    columns, rows = ([cell[k] for cell in cells] for k in (0, 1))
    return (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)


def grids(sizes_hw_px: Mapping[str, tuple[int, int]], read: Callable[[str], RgbImage]) -> list[Grid]:
    """Put tiles named `[<smear>_]<column>_<row>` back where they were taken, one grid per smear.

    Tiles abut, but for the last column and the last row, which an export may have anchored to the edge of the smear:
    how far they overlap the ones before is measured from their pixels, over all rows (columns) together. Two tiles are
    in memory at a time, of these columns and rows alone.

    Args:
        sizes_hw_px: of each tile by name, all the same.
        read: gives the pixels `(H, W, 3) uint8` of a tile.

    Raises:
        BadInputError: a name or a size does not fit, or hardly a place of the grid is there.
    """
    smears: dict[str, dict[tuple[int, int], str]] = {}
    first = next(iter(sizes_hw_px.values()))
    for name, size in sizes_hw_px.items():
        parts = tile_name(name)
        if parts is None:
            raise BadInputError("not the name of a tile", where=name, expected="[<smear>_]<column>_<row>")
        if size != first:
            raise BadInputError("tiles of one grid differ in size", where=name, got=str(size), expected=str(first))
        smears.setdefault(parts[0], {})[parts[1], parts[2]] = name
    for smear, cells in smears.items():
        if len(cells) < _LEAST_FILLED * _places(cells):
            raise BadInputError(
                "these are hardly the tiles of a grid",
                where=next(iter(cells.values())),
                got=f"{len(cells)} of the {_places(cells):,} places of {smear or 'the grid'}",
                remedy="name tiles by column and row, or count them as single pictures: layout pictures",
            )
    return [_grid(smear, cells, first, read) for smear, cells in smears.items()]


def groups_of_tiles(grid: Grid) -> dict[str, str]:
    """Of each tile, the first of the tiles that it shares pixels with, directly or through others; itself if none."""
    corners = np.array([(p.left, p.top, p.left + p.width, p.top + p.height) for p in grid.places])
    start = np.maximum(corners[:, None, :2], corners[None, :, :2])
    end = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    _, component = connected_components(np.all(start < end, axis=2), directed=False)
    names = [place.name for place in grid.places]
    first: dict[int, str] = {}
    return {name: first.setdefault(int(number), name) for name, number in zip(names, component, strict=True)}


def _grid(
    smear: str, cells: dict[tuple[int, int], str], size_hw_px: tuple[int, int], read: Callable[[str], RgbImage]
) -> Grid:
    height, width = size_hw_px
    columns, rows = (sorted({cell[k] for cell in cells}) for k in (0, 1))
    first, top = columns[0], rows[0]
    last_column = _overlap(((read(a), read(b)) for a, b in _pairs(cells, columns[-1], 0)), axis=1)
    last_row = _overlap(((read(a), read(b)) for a, b in _pairs(cells, rows[-1], 1)), axis=0)

    def starts(numbers: list[int], side: int, overlap: int) -> dict[int, int]:
        return {
            n: (n - numbers[0]) * side - (overlap if n == numbers[-1] else 0)
            for n in range(numbers[0], numbers[-1] + 1)
        }

    lefts, tops = starts(columns, width, last_column), starts(rows, height, last_row)
    places = [
        _place(cells[c, r], lefts[c], tops[r], (width, height), (c - first) * width, (r - top) * height)
        for r in tops
        for c in lefts
        if (c, r) in cells
    ]
    prefix = f"{smear}_" if smear else ""
    missing = tuple(f"{prefix}{c}_{r}" for r in tops for c in lefts if (c, r) not in cells)
    return Grid(smear, lefts[columns[-1]] + width, tops[rows[-1]] + height, tuple(places), missing)


def _place(name: str, left: int, top: int, size: tuple[int, int], core_left: int, core_top: int) -> Place:
    """A tile whose core starts where the tile before it ends."""
    width, height = size
    return Place(name, left, top, width, height, (max(left, core_left), max(top, core_top), left + width, top + height))


def _pairs(cells: dict[tuple[int, int], str], last: int, axis: int) -> Iterator[tuple[str, str]]:
    for cell, name in cells.items():
        before = (cell[0] - 1, cell[1]) if axis == 0 else (cell[0], cell[1] - 1)
        if cell[axis] == last and before in cells:
            yield cells[before], name


def _overlap(pairs: Iterable[tuple[RgbImage, RgbImage]], axis: int) -> int:
    """By how many px the second of each pair starts before the first ends; 0 where they abut."""
    votes: Counter[int] = Counter()
    for pair in pairs:
        before, after = (cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY).astype(np.float32) for tile in pair)
        if axis == 0:
            before, after = before.T, after.T
        side = before.shape[1]
        strip = np.ascontiguousarray(after[:, :_MIN_STRIP_PX])
        # Where the first columns of the later tile reappear in the earlier one, down to noise.
        difference = cv2.matchTemplate(before, strip, cv2.TM_SQDIFF)[0] / strip.size
        start = int(difference.argmin())
        whole = np.abs(before[:, start:] - after[:, : side - start]).mean()
        votes[side - start if difference[start] < _SAME_LEVELS**2 and whole < _SAME_LEVELS else 0] += 1
    return votes.most_common(1)[0][0] if votes else 0
