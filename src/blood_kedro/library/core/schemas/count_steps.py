"""What the steps of a count hand to each other: tiles, what was segmented in them, kinds of masks, masks of cells."""

from __future__ import annotations

from typing import Any

from pandera.typing import Series

from blood_kedro.library.core.schemas.counting import KINDS
from blood_kedro.library.core.schemas.table import Table, column


class SmearTiles(Table):
    """Tiles of opened smears: where each lies, and what it is read from."""

    smear: Series[str] = column("name of the smear")
    file: Series[str] = column("name of the smear's only file; empty for a grid of tiles")
    version: Series[str] = column("stands for the content of the smear's files")
    smear_width_px: Series[int] = column("of the smear, px", gt=0)
    smear_height_px: Series[int] = column("of the smear, px", gt=0)
    cell_px: Series[float] = column("width of a red cell, px, that all are counted at", gt=0)
    tile: Series[str] = column("name of the tile: `<column>_<row>`, or its file's")
    path: Series[str] = column("file that it is read from")
    is_window: Series[bool] = column("whether that file is the whole picture, of which the tile is a window")
    left_px: Series[int] = column("left edge of what the tile shows, px of the smear", ge=0)
    top_px: Series[int] = column("upper edge, px", ge=0)
    width_px: Series[int] = column("width of what it shows, px", gt=0)
    height_px: Series[int] = column("height of what it shows, px", gt=0)
    core_x_min_px: Series[int] = column("left edge of its core, which is no other tile's, px of the smear", ge=0)
    core_y_min_px: Series[int] = column("upper edge, px", ge=0)
    core_x_max_px: Series[int] = column("right edge, px, exclusive")
    core_y_max_px: Series[int] = column("lower edge, px, exclusive")


class SegmentedTiles(Table):
    """Tiles whose masks are kept: what the segmenter found, and what was filtered out and why."""

    smear: Series[str] = column("name of the smear")
    folder: Series[str] = column("folder of its finished tiles, below the work folder of the input")
    tile: Series[str] = column("name of the tile")
    error: Series[Any] = column("why the tile could not be read; else empty", nullable=True)
    found: Series[int] = column("masks of the segmenter", ge=0)
    kept: Series[int] = column("masks after the filter", ge=0)
    brightened_by: Series[float] = column("levels (of 255) that the tile was brightened by", ge=0)
    dropped: Series[Any] | None = column(
        "masks that this rule of the filter dropped; empty for a tile that could not be read",
        alias="^(too_small|too_large|unstained|repeated|clump|part|published)$",
        regex=True,
        ge=0,
        nullable=True,
    )
    seconds: Series[float] = column("for its masks, s", ge=0)


class MaskKinds(Table):
    """Cell types of masks, tile by tile, in the order that they are kept in."""

    smear: Series[str] = column("name of the smear")
    tile: Series[str] = column("name of the tile")
    kinds: Series[float] = column(
        "probability of that type", alias=f"^({'|'.join(KINDS)})$", regex=True, ge=0, le=1.000001
    )


class CellMasks(Table):
    """Masks of counted cells, in the order of the table of cells."""

    smear: Series[str] = column("name of the smear")
    cell: Series[int] = column("number on its smear, from 1", ge=1)
    left_px: Series[int] = column("left edge of the mask's box, px of the smear", ge=0)
    top_px: Series[int] = column("upper edge, px", ge=0)
    width_px: Series[int] = column("of the box, px", gt=0)
    height_px: Series[int] = column("of the box, px", gt=0)
    counts: Series[str] = column("mask in its box, run-length encoded as in COCO")
