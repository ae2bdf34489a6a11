"""A count from pictures to cells in one call: the steps that the pipeline has as nodes, one after the other.

open -> segment -> name -> count; what is drawn and what is scored is made of what this gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.count.rules import CountRule
from blood_kedro.library.counting.count.smears import NameTypes, count_smears
from blood_kedro.library.counting.name.cell_types import CELL_TYPES
from blood_kedro.library.counting.name.namers import Namer, name_smears
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.segment.looks import Look
from blood_kedro.library.counting.segment.segmenter import Segment
from blood_kedro.library.counting.segment.tiles import OnTile, segment_smears


@dataclass(frozen=True)
class CountParts:
    """What a count is put together from: a segmenter, a namer, all count rules, and what names types, if anything."""

    segment: Segment
    namer: Namer
    rules: Mapping[str, CountRule]
    name_types: NameTypes | None = None


@dataclass(frozen=True)
class Counted:
    """A count of smears.

    Attributes:
        counts: one row per smear.
        cells: one row per cell, of all smears.
        fields: one row per tile.
        masks: of each row of `cells`; `count.smears.masks_of` decodes them.
        totals: sums over the smears.
        segmented: which finished tiles all of this rests on (`segment_smears`).
    """

    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    masks: pd.DataFrame
    totals: dict[str, Any]
    segmented: pd.DataFrame


def count_pictures(
    smears: Sequence[Smear],
    options: SmearInput,
    parts: CountParts,
    work_folder: Path,
    rejects: RejectLog,
    looks: Sequence[Look] = (),
    on_tile: OnTile | None = None,
) -> Counted:
    """Count smears; tiles that cannot be read, and masks that cannot be used, go to rejects.

    Args:
        smears: opened, at least one.
        options: how.
        parts: see there.
        work_folder: keeps finished tiles.
        rejects: see above.
        looks: what is to be drawn or compared of tiles, beside what the namer wants to see.
        on_tile: see `segment_smears`.
    """
    wanted = [*looks, *([] if parts.namer.look is None else [parts.namer.look])]
    segmented = segment_smears(smears, options, parts.segment, work_folder, rejects, wanted, on_tile)
    kinds = name_smears(smears, segmented, work_folder, parts.namer)
    counted = count_smears(smears, segmented, kinds, options, parts.rules, work_folder, parts.name_types)
    return Counted(counted.counts, counted.cells, counted.fields, counted.masks, totals_of(counted.counts), segmented)


def totals_of(counts: pd.DataFrame) -> dict[str, Any]:
    """Sums over the smears of a count: cells of each kind, size, and how long their tiles took, one after the other."""
    megapixels = float(counts["counted_px2"].sum() / 1e6)
    seconds = float(counts["seconds"].sum())
    return {
        "smears": len(counts),
        **{kind: int(counts[kind].sum()) for kind in CELL_TYPES},
        "unfit_smears": int((~counts["fit_for_counting"].astype(bool)).sum()),
        "megapixels": megapixels,
        "seconds": seconds,
        "megapixels_per_second": megapixels / seconds,
    }
