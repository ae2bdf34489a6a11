"""All smears of an input: segmented, named, counted, written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.counting.cells import Counted, count_smear
from blood_kedro.library.counting.kinds import KINDS, Floats, Namer
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.outputs import masks_written, write_masks
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment import Masks, Segment, prepared, read_tiles, segment_smears
from blood_kedro.library.counting.smear import RgbImage, Smear

# So many tiles tell what a smear's red cells look like.
_SHOWN = 16


# Shapes of more red cells than these take minutes; nobody reads them one by one.
MOST_SHAPES = 2000
# Pixels and cells `x_min_px ... y_max_px, label` of a tile, the width of a red cell, and whether shapes are wanted, to
# `type` and `sureness` of each cell.
NameTypes = Callable[[RgbImage, pd.DataFrame, float, bool], pd.DataFrame]


@dataclass(frozen=True)
class Run:
    """Counts by smear, cells, fields, totals; masks of every smear, and the first smear as it was counted."""

    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    totals: dict[str, Any]
    masks: list[tuple[Smear, Masks]]
    first: Counted


def count_all(
    smears: Sequence[Smear],
    options: SmearInput,
    segment: Segment,
    namer: Namer,
    work_folder: Path,
    output_folder: Path,
    rejects: Rejects,
    name_types: NameTypes | None = None,
) -> Run:
    """Count smears; tiles that cannot be read, and masks that cannot be used, go to rejects.

    Args:
        smears: opened, at least one.
        options: how.
        segment: the segmenter.
        namer: tells kinds of cells apart.
        work_folder: keeps finished tiles.
        output_folder: becomes label images, coloured masks and contours, and nothing else; those of an earlier count
            are gone even where none are asked for now.
        rejects: see above.
        name_types: names types and shapes of cells; where it is given, cells have `type` and `sureness`.
    """
    start = time.perf_counter()
    segmented = segment_smears(smears, options, segment, work_folder)
    counts, cells, fields, kept = [], [], [], []
    first: Counted | None = None
    with masks_written(output_folder, wanted=options.write_masks) as masks_folder:
        for smear, folder in segmented:
            masks = read_tiles(smear, folder)
            counted = count_smear(smear.name, smear.grid, masks, _kinds(smear, masks, namer, options), options)
            for row in masks.log[masks.log["error"] != ""].to_dict("records"):
                rejects.add(f"{smear.name}/{row['tile']}", "image", "dropped", str(row["error"]))
            for path, reason in masks.rejects:
                rejects.add(path, "cell", "dropped", reason)
            counts.append(counted.counts)
            named = counted.cells if name_types is None else _with_types(smear, counted, options, name_types)
            cells.append(named.assign(smear=smear.name))
            fields.append(masks.log.merge(counted.fields, on="tile").assign(smear=smear.name))
            if masks_folder is not None:
                write_masks(masks_folder, smear.name, counted)
            if options.reference_masks:
                kept.append((smear, masks))
            first = counted if first is None else first
    if first is None:
        raise ValueError("no smear was given")
    table = pd.DataFrame(counts)
    megapixels = float((table["width_px"].astype(np.float64) * table["height_px"]).sum() / 1e6)
    seconds = time.perf_counter() - start
    totals = {
        "smears": len(table),
        **{kind: int(table[kind].sum()) for kind in KINDS},
        "unfit_smears": int((~table["fit_for_counting"].astype(bool)).sum()),
        "megapixels": megapixels,
        "seconds": seconds,
        "megapixels_per_second": megapixels / seconds,
    }
    return Run(table, pd.concat(cells, ignore_index=True), pd.concat(fields, ignore_index=True), totals, kept, first)


def _kinds(smear: Smear, masks: Masks, namer: Namer, options: SmearInput) -> list[Floats]:
    """Probabilities of kinds for the masks of each tile."""

    def seen(k: int) -> tuple[RgbImage, list[Piece]]:
        place = smear.grid.places[k]
        rgb, _ = prepared(smear.read(place), options)
        return rgb, [each.moved(-place.left, -place.top) for each in masks.pieces[k]]

    filled = [k for k, pieces in enumerate(masks.pieces) if pieces]
    name = namer.of_smear(seen(k) for k in filled[:: max(1, len(filled) // _SHOWN)])
    return [name(*seen(k)) if pieces else np.zeros((0, len(KINDS))) for k, pieces in enumerate(masks.pieces)]


def _with_types(smear: Smear, counted: Counted, options: SmearInput, name_types: NameTypes) -> pd.DataFrame:
    """The cells of a smear with `type` and `sureness`, looked at tile by tile; shapes where there are not too many."""
    boxes = list(BOX_COLUMNS)
    shapes = bool((counted.cells["label"] == "rbc").sum() <= MOST_SHAPES)
    parts = []
    for place in smear.grid.places:
        mine = counted.cells[counted.cells["tile"] == place.name]
        if len(mine):
            moved = mine.assign(**{name: mine[name] - (place.left, place.top)[k % 2] for k, name in enumerate(boxes)})
            parts.append(name_types(smear.read(place), moved, options.cell_px, shapes).set_index(mine.index))
    found = pd.concat(parts) if parts else pd.DataFrame({"type": [], "sureness": []})
    return counted.cells.join(found)
