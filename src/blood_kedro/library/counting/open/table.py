"""Opened smears as a table of tiles, which is what one step of a count hands to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from blood_kedro.library.counting.open.smear import Reader, SlideReader, Smear, TileReader, WindowReader
from blood_kedro.library.counting.open.tiles import Grid, Place

_PLACE = ("left_px", "top_px", "width_px", "height_px")
_CORE = ("core_x_min_px", "core_y_min_px", "core_x_max_px", "core_y_max_px")
TILE_COLUMNS = (
    *("smear", "file", "version", "smear_width_px", "smear_height_px", "cell_px", "um_per_px", "scale_from"),
    *("tile", "path", "is_window", "slide_level", *_PLACE, *_CORE),
)
_NO_SLIDE = -1


def table_of_tiles(smears: Sequence[Smear], cell_px: float) -> pd.DataFrame:
    """One row per tile, smear by smear, columns `TILE_COLUMNS`.

    `path` is what a tile is read from: the whole picture, of which it is a window (`is_window`), or a file of its own;
    of a slide `slide_level` says at which level, else it is -1.
    `cell_px` is the width of a red cell, px, at which all of them are counted.

    Raises:
        TypeError: tiles of a smear come from nowhere that a table could name.
    """
    rows = []
    for smear in smears:
        grid = smear.grid
        first = (smear.name, smear.file, smear.version, grid.width_px, grid.height_px, float(cell_px))
        scale = (smear.um_per_px, smear.scale_from)
        for place in grid.places:
            shown = (place.left, place.top, place.width, place.height)
            rows.append((*first, *scale, place.name, *_origin(smear.read, place), *shown, *place.core_xyxy_px))
    return pd.DataFrame(rows, columns=list(TILE_COLUMNS))


def _origin(read: Reader, place: Place) -> tuple[str, bool, int]:
    """Path, whether the tile is a window, and the level of a slide."""
    if isinstance(read, SlideReader):
        return str(read.file), True, read.level
    if isinstance(read, WindowReader):
        return str(read.file), True, _NO_SLIDE
    if isinstance(read, TileReader):
        return str(read.paths[place.name]), False, _NO_SLIDE
    raise TypeError(f"a reader of tiles that no table can name: {read}")


def smears_of(tiles: pd.DataFrame) -> list[Smear]:
    """The smears of a table of tiles, in its order."""
    smears = []
    for name, rows in tiles.groupby("smear", sort=False):
        shown, cores = (rows[list(columns)].to_numpy(int).tolist() for columns in (_PLACE, _CORE))
        names, paths = rows["tile"].astype(str).tolist(), [Path(str(path)) for path in rows["path"]]
        places = [
            Place(tile, at[0], at[1], at[2], at[3], (core[0], core[1], core[2], core[3]))
            for tile, at, core in zip(names, shown, cores, strict=True)
        ]
        first = rows.iloc[0]
        grid = Grid(str(name), int(first["smear_width_px"]), int(first["smear_height_px"]), tuple(places))
        read: Reader = TileReader(dict(zip(names, paths, strict=True)))
        if first["slide_level"] != _NO_SLIDE:
            read = SlideReader(paths[0], int(first["slide_level"]))
        elif first["is_window"]:
            read = WindowReader(paths[0])
        scale = float(first["um_per_px"]), str(first["scale_from"])
        smears.append(Smear(str(name), grid, read, str(first["version"]), str(first["file"]), *scale))
    return smears
