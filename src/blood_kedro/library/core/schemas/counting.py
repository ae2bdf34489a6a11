"""Tables of a count: cells, tiles and smears, and what a classifier of kinds was chosen by."""

from __future__ import annotations

from typing import Any

from pandera.typing import Series

from blood_kedro.library.core.schemas.table import Table, column
from blood_kedro.library.core.taxonomy import COARSE


class OpenedTiles(Table):
    """Tiles of what is counted, smear by smear: where each lies, and where its pixels come from; px of the smear."""

    smear: Series[str] = column("name of the smear")
    file: Series[str] = column("name of the picture that was given; empty for a grid of tiles")
    version: Series[str] = column("hash that stands for the files of the smear")
    smear_width_px: Series[int] = column("width of the smear, px", gt=0)
    smear_height_px: Series[int] = column("height of the smear, px", gt=0)
    cell_px: Series[float] = column("width of a red cell, px, at which all are counted", gt=0)
    um_per_px: Series[float] = column("micrometres for a px, by the file; empty where it says nothing", nullable=True)
    scale_from: Series[str] = column("where the file says it; else empty")
    tile: Series[str] = column("name of the tile: `<column>_<row>`, or its file's")
    path: Series[str] = column("the whole picture, or the tile's own file")
    is_window: Series[bool] = column("whether the tile is a window of that picture")
    slide_level: Series[int] = column("level of a slide that is read, 0 is the largest; -1 of no slide", ge=-1)
    left_px: Series[int] = column("left edge of the tile, px", ge=0)
    top_px: Series[int] = column("upper edge, px", ge=0)
    width_px: Series[int] = column("width of the tile, px", gt=0)
    height_px: Series[int] = column("height of the tile, px", gt=0)
    core_x_min_px: Series[int] = column("left edge of the part whose masks count here, px", ge=0)
    core_y_min_px: Series[int] = column("upper edge, px", ge=0)
    core_x_max_px: Series[int] = column("right edge, px, exclusive", ge=0)
    core_y_max_px: Series[int] = column("lower edge, px, exclusive", ge=0)


class FieldChoice(Table):
    """Fields of slides that were looked at, and which are counted; empty where all are. px of the smear."""

    smear: Series[str] = column("name of the smear")
    tile: Series[str] = column("name of the tile: `<column>_<row>`")
    x_min_px: Series[int] = column("left edge of the field, px", ge=0)
    y_min_px: Series[int] = column("upper edge, px", ge=0)
    x_max_px: Series[int] = column("right edge, px, exclusive", ge=0)
    y_max_px: Series[int] = column("lower edge, px, exclusive", ge=0)
    covered_share: Series[float] = column("share of its pixels that are stained, 0 to 1", ge=0, le=1)
    overlap_share: Series[float] = column("share of stained pixels as dark as two cells, 0 to 1", ge=0, le=1)
    focus: Series[float] = column("slope of light at rims of cells, contrasts per width of a red cell", ge=0)
    chosen: Series[bool] = column("whether it is counted")
    reason: Series[str] = column("why, or why not")


class MaskKinds(Table):
    """What each mask of each tile is; rows in the order of the masks."""

    smear: Series[str] = column("name of the smear")
    tile: Series[str] = column("name of the tile")
    shares: Series[float] = column(
        "probability of that cell type, 0 to 1", alias=f"^({'|'.join(COARSE)})$", regex=True, ge=0, le=1.000001
    )


class CellMasks(Table):
    """Masks of the counted cells, px of their smear; rows in the order of the cells."""

    smear: Series[str] = column("name of the smear")
    cell: Series[int] = column("number of the cell on its smear, from 1", ge=1)
    left_px: Series[int] = column("left edge of the mask, px", ge=0)
    top_px: Series[int] = column("upper edge, px", ge=0)
    width_px: Series[int] = column("width of the mask, px", gt=0)
    height_px: Series[int] = column("height of the mask, px", gt=0)
    counts: Series[str] = column("COCO's compressed run lengths")


class CountedCells(Table):
    """Cells of counted smears, px of the smear."""

    smear: Series[str] = column("name of the smear")
    cell: Series[int] = column("number on its smear, from 1: its value in the label image", ge=1)
    tile: Series[str] = column("tile that shows it first")
    x_px: Series[float] = column("middle of the mask, px")
    y_px: Series[float] = column("middle of the mask, px")
    x_min_px: Series[int] = column("left edge of the mask, px")
    y_min_px: Series[int] = column("upper edge, px")
    x_max_px: Series[int] = column("right edge, px, exclusive")
    y_max_px: Series[int] = column("lower edge, px, exclusive")
    area_px2: Series[int] = column("pixels of the mask", gt=0)
    solidity: Series[float] = column("area over that of the convex hull, 0 to 1", nullable=True)
    label: Series[str] = column("cell type", isin=COARSE)
    confidence: Series[float] = column("of the cell type, 0 to 1", ge=0, le=1.000001)
    at_border: Series[bool] = column("whether the smear's border cuts it")
    clump: Series[int] = column("number of the group of touching cells of one type", ge=1)
    cells_in_clump: Series[int] = column("cells of that group", ge=1)
    counted: Series[int] = column("cells that the mask counts for", ge=0)
    diameter_um: Series[float] = column("of a circle of its area, micrometres; empty without a scale", nullable=True)
    type: Series[Any] | None = column(
        "type of a white cell or shape of a red one, `other` where unsure, `not named` where nothing was asked",
        nullable=True,
    )
    sureness: Series[float] | None = column("of the type, 0 to 1; empty where nothing was asked", nullable=True)


class TileLog(Table):
    """What became of each tile: masks that the segmenter found, and those that were filtered out, and why."""

    smear: Series[str] = column("name of the smear")
    tile: Series[str] = column("name of the tile: `<column>_<row>`, or its file's")
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


class SegmentedTiles(TileLog):
    """Tiles of smears after segmentation, and where their masks are."""

    folder: Series[str] = column("below the work folder; its name stands for all that decides the masks")


class CountedTiles(TileLog):
    """Tiles of counted smears: what the segmenter found, what was filtered out and why, and the cells."""

    kinds: Series[int] = column("cells of that type in the tile", alias=f"^({'|'.join(COARSE)})$", regex=True, ge=0)
    overlap_ratio: Series[float] = column("overlapping red cells per single one", ge=0)
    fit_for_counting: Series[bool] = column("whether few enough overlap")
    rbc_per_mm2: Series[float] | None = column("red cells per mm^2, with a scale", ge=0)


class SmearCounts(Table):
    """Counts of each smear, and beside them what its source labels."""

    smear: Series[str] = column("name of the smear")
    kinds: Series[int] = column("cells of that type", alias=f"^({'|'.join(COARSE)})$", regex=True, ge=0)
    rule: Series[str] = column("rule that the red cells were counted by")
    by_rule: Series[int] = column(
        "red cells by that rule", alias="^rbc_(?!interval_95$|per_mm2$|per_ul$).+$", regex=True, ge=0
    )
    debris: Series[int] = column("small masks that are no platelets", ge=0)
    single_cell_area_px2: Series[float] = column("commonest area of a single red cell, px^2", ge=0, nullable=True)
    cell_px: Series[float] = column("width of a red cell, px, as given or as measured on the input", gt=0)
    overlap_ratio: Series[float] = column("overlapping red cells per single one", ge=0)
    fit_for_counting: Series[bool] = column("whether few enough overlap")
    tiles: Series[int] = column("tiles", ge=1)
    failed_tiles: Series[int] = column("tiles that could not be read", ge=0)
    counted_px2: Series[int] = column("area of its tiles, px^2: less than its own where fields were chosen", gt=0)
    width_px: Series[int] = column("of the smear, px", gt=0)
    height_px: Series[int] = column("of the smear, px", gt=0)
    seconds: Series[float] = column("for its masks, s", ge=0)
    rbc_interval_95: Series[Any] = column("red cells, 95% interval over tiles; empty for a single tile", nullable=True)
    rbc_per_mm2: Series[float] | None = column("red cells per mm^2, with a scale", ge=0)
    rbc_per_ul: Series[float] | None = column("red cells per microlitre, with a volume", ge=0)
    reference: Series[int] | None = column(
        "labelled cells of that type", alias=f"^reference_({'|'.join(COARSE)})$", regex=True, ge=0
    )
    ignored: Series[int] | None = column(
        "slivers at the edge that the source marks as ignored: in no reference",
        alias=f"^ignored_({'|'.join(COARSE)})$",
        regex=True,
        ge=0,
    )
    group: Series[str] | None = column("group of the picture in `image_groups`")
    held_out: Series[bool] | None = column("whether no model that was used learnt from its group")


class KindSearch(Table):
    """Combinations that a classifier of kinds was tried with, the best first; a single one is not tried."""

    batch_size: Series[int] = column("crops in a batch", gt=0)
    epochs: Series[int] = column("epochs", gt=0)
    dropout: Series[float] = column("share of units left out, 0 to 1", ge=0, le=1)
    lr: Series[float] = column("learning rate", gt=0)
    val_accuracy: Series[float] = column("on the validation crops, 0 to 1", ge=0, le=1, nullable=True)
    val_loss: Series[float] = column("on the same", nullable=True)
