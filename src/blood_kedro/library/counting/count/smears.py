"""All smears of an input, counted: one table of smears, of cells with their masks, of tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.limits import ENOUGH_RED_CELLS
from blood_kedro.library.core.masks import decode_rle
from blood_kedro.library.core.taxonomy import NOT_NAMED, UNSURE
from blood_kedro.library.counting.count.cells import CountedSmear, count_smear
from blood_kedro.library.counting.count.rules import CountRule
from blood_kedro.library.counting.name.cell_types import CELL_TYPES
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.tiles import folders_of, read_tiles

RgbImage = npt.NDArray[np.uint8]
# Shapes of so many red cells are named, drawn at random where a smear has more: naming all of a slide takes minutes,
# and percents do not gain by it. Where the classifier was unsure of so many that too few have a shape, more are drawn.
MOST_SHAPES, MOST_DRAWS = 2000, 4
# Pixels and cells `x_min_px ... y_max_px, label` of a tile, and the width of a red cell, to `type` and `sureness`.
NameTypes = Callable[[RgbImage, pd.DataFrame, float], pd.DataFrame]


@dataclass(frozen=True)
class Counts:
    """Counts of an input.

    Attributes:
        counts: one row per smear, see `count_smear`.
        cells: one row per cell, of all smears; with `type` and `sureness` where types were named.
        fields: one row per tile: what was segmented in it, and what was counted.
        masks: one row per cell: `smear, cell`, its box, and its mask run-length encoded; `masks_of` decodes them.
    """

    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    masks: pd.DataFrame


def count_smears(
    smears: Sequence[Smear],
    segmented: pd.DataFrame,
    kinds: pd.DataFrame,
    options: SmearInput,
    rules: Mapping[str, CountRule],
    work_folder: Path,
    name_types: NameTypes | None = None,
) -> Counts:
    """Count the cells of smears whose masks are named.

    Args:
        smears: opened, at least one.
        segmented: of `segment_smears`.
        kinds: of `name_smears`.
        options: how.
        rules: all that red cells are counted by.
        work_folder: keeps finished tiles.
        name_types: names types and shapes of cells; where it is given, cells have `type` and `sureness`. It sees each
            tile that has cells once more: a cell is whole only when the parts that tiles cut it into are joined.
    """
    folders = folders_of(segmented, work_folder)
    by_smear = dict(tuple(kinds.groupby("smear")))
    counts, cells, fields, masks = [], [], [], []
    for smear in smears:
        smear_masks = read_tiles(smear, folders[smear.name])
        mine = by_smear.get(smear.name, kinds.iloc[:0])
        shares = mine[list(CELL_TYPES)].to_numpy(np.float64)
        counted = count_smear(smear.name, smear.grid, smear_masks, shares, options, rules)
        named = counted.cells if name_types is None else _with_types(smear, counted, options, name_types)
        counts.append(counted.counts)
        cells.append(named.assign(smear=smear.name))
        fields.append(smear_masks.log.merge(counted.fields, on="tile").assign(smear=smear.name))
        masks.append(counted.masks.assign(smear=smear.name))
    tables = (pd.concat(parts, ignore_index=True) for parts in (cells, fields, masks))
    return Counts(pd.DataFrame(counts), *tables)


def masks_of(masks: pd.DataFrame) -> list[Piece]:
    """The masks of cells, px of their smear, in the order of the rows."""
    return list(each_mask_of(masks))


def each_mask_of(masks: pd.DataFrame) -> Iterator[Piece]:
    """The same, decoded one at a time."""
    columns = ("left_px", "top_px", "width_px", "height_px", "counts")
    for left, top, width, height, counts in zip(*(masks[name].tolist() for name in columns), strict=True):
        yield Piece(left, top, decode_rle(counts, height, width))


def _with_types(smear: Smear, counted: CountedSmear, options: SmearInput, name_types: NameTypes) -> pd.DataFrame:
    """The cells of a smear with `type` and `sureness`; of red cells beyond those that were drawn, `not named`."""
    cells = counted.cells
    is_red = (cells["label"] == "rbc").to_numpy()
    drawn = np.random.default_rng(options.seed).permutation(np.flatnonzero(is_red))
    types = pd.DataFrame({"type": np.full(len(cells), NOT_NAMED, object), "sureness": np.nan}, cells.index)
    for first in range(0, max(1, min(len(drawn), MOST_DRAWS * MOST_SHAPES)), MOST_SHAPES):
        rows = drawn[first : first + MOST_SHAPES]
        looked_at = cells.iloc[np.sort(rows if first else np.concatenate([rows, np.flatnonzero(~is_red)]))]
        named = _types_of(smear, looked_at, options.cell_px, name_types)
        types.loc[named.index] = named
        has_shape = is_red & ~types["type"].isin([UNSURE, NOT_NAMED]).to_numpy()
        if has_shape.sum() >= ENOUGH_RED_CELLS:
            break
    return cells.join(types)


def _types_of(smear: Smear, cells: pd.DataFrame, cell_px: float, name_types: NameTypes) -> pd.DataFrame:
    """`type` and `sureness` of some cells of a smear, looked at tile by tile."""
    boxes, by_tile = list(BOX_COLUMNS), dict(tuple(cells.groupby("tile")))
    parts = []
    for place in smear.grid.places:
        if place.name in by_tile:
            mine = by_tile[place.name]
            moved = mine.assign(**{name: mine[name] - (place.left, place.top)[k % 2] for k, name in enumerate(boxes)})
            parts.append(name_types(smear.read(place), moved, cell_px).set_index(mine.index))
    return pd.concat(parts) if parts else pd.DataFrame({"type": [], "sureness": []})
