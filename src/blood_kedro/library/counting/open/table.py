"""Opened smears as a table of tiles, which is what one step of a count hands to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from blood_kedro.library.counting.open.smear import Smear, TileReader, WindowReader
from blood_kedro.library.counting.open.tiles import Grid, Place

_PLACE = ("left_px", "top_px", "width_px", "height_px")
_CORE = ("core_x_min_px", "core_y_min_px", "core_x_max_px", "core_y_max_px")
TILE_COLUMNS = (
    *("smear", "file", "version", "smear_width_px", "smear_height_px", "cell_px"),
    *("tile", "path", "is_window", *_PLACE, *_CORE),
)


def table_of_tiles(smears: Sequence[Smear], cell_px: float) -> pd.DataFrame:
    """One row per tile, smear by smear, columns `TILE_COLUMNS`.

    `path` is what a tile is read from: the whole picture, of which it is a window (`is_window`), or a file of its own.
    `cell_px` is the width of a red cell, px, at which all of them are counted.

    Raises:
        TypeError: tiles of a smear come from nowhere that a table could name.
    """
    rows = []
    for smear in smears:
        for place in smear.grid.places:
            if isinstance(smear.read, WindowReader):
                path = smear.read.file
            elif isinstance(smear.read, TileReader):
                path = smear.read.paths[place.name]
            else:
                raise TypeError(f"a reader of tiles that no table can name: {smear.read}")
            grid, window = smear.grid, isinstance(smear.read, WindowReader)
            row = (smear.name, smear.file, smear.version, grid.width_px, grid.height_px, float(cell_px))
            shown = (place.left, place.top, place.width, place.height)
            rows.append((*row, place.name, str(path), window, *shown, *place.core_xyxy_px))
    return pd.DataFrame(rows, columns=list(TILE_COLUMNS))


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
        read = WindowReader(paths[0]) if first["is_window"] else TileReader(dict(zip(names, paths, strict=True)))
        smears.append(Smear(str(name), grid, read, str(first["version"]), str(first["file"])))
    return smears
