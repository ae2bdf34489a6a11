"""A picture as tiles: where each lies, and its core, the part that belongs to it alone.

Two layouts. Detection has tiles of one side, which overlap, with cores that meet in the middle of what neighbours
share: a network sees pictures of the size that it learnt. Counting has cores of one side, which abut (Rao et al. 2024),
and tiles that show more than their core: masks are cut at cores, and put together again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from blood_kedro.library.core.errors import ConfigurationError

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile:
    """Pixels of an image, `area` as a half-open box in xyxy px, and the core that belongs to this tile alone."""

    row: int
    column: int
    area: Window
    core: tuple[float, float, float, float]


def overlapping_tiles(width_px: int, height_px: int, tile_px: int, overlap_px: int) -> Iterator[Tile]:
    """Tiles of one side, row by row; the last of a row or column ends at the border. Outer cores lie outside, too.

    Raises:
        ConfigurationError: the overlap is not smaller than half a tile.
    """
    if not 0 < overlap_px < tile_px / 2:
        raise ConfigurationError(
            "tiles must overlap by less than half", where="overlap_px", got=f"{overlap_px} of {tile_px} px"
        )
    rows, columns = (_starts(length, tile_px, overlap_px) for length in (height_px, width_px))
    row_cores, column_cores = _cores(rows, tile_px), _cores(columns, tile_px)
    for r, (top, (core_top, core_bottom)) in enumerate(zip(rows, row_cores, strict=True)):
        for c, (left, (core_left, core_right)) in enumerate(zip(columns, column_cores, strict=True)):
            area = (left, top, min(left + tile_px, width_px), min(top + tile_px, height_px))
            yield Tile(r, c, area, (core_left, core_top, core_right, core_bottom))


def abutting_cores(width_px: int, height_px: int, core_px: int, margin_px: int) -> Iterator[tuple[Tile, Window]]:
    """Tiles whose cores have one side, and abut, row by row, each with its core in whole px; the last ones are smaller.

    A tile shows `margin_px` more than its core on every side, as far as the picture goes.
    """
    for row, top in enumerate(range(0, height_px, core_px)):
        for column, left in enumerate(range(0, width_px, core_px)):
            core = (left, top, min(left + core_px, width_px), min(top + core_px, height_px))
            low = max(0, left - margin_px), max(0, top - margin_px)
            high = min(core[2] + margin_px, width_px), min(core[3] + margin_px, height_px)
            yield Tile(row, column, (*low, *high), core), core


def _starts(length: int, tile_px: int, overlap_px: int) -> list[int]:
    last = max(length - tile_px, 0)
    return [*range(0, last, tile_px - overlap_px), last]


def _cores(starts: Sequence[int], tile_px: int) -> list[tuple[float, float]]:
    """Borders in the middle of what neighbours share; the outer ones lie outside the image."""
    inner = [(start + tile_px + following) / 2 for start, following in itertools.pairwise(starts)]
    edges = [-np.inf, *inner, np.inf]
    return list(itertools.pairwise(edges))
