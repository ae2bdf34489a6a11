"""Masks beside a reference: masks that others made of the same tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.count.join import join_across_borders
from blood_kedro.library.counting.count.joined import joined_masks
from blood_kedro.library.counting.count.mask_table import mask_table
from blood_kedro.library.counting.count.rules import cells_by_instance, single_cell_area
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece, solidity
from blood_kedro.library.counting.score.agreement import agree
from blood_kedro.library.counting.segment.cells_among_masks import cells_among, without_spots
from blood_kedro.library.counting.segment.journal import pieces_of, read_look, table_of
from blood_kedro.library.counting.segment.looks import SeenTile
from blood_kedro.library.counting.segment.precomputed import Precomputed
from blood_kedro.library.counting.segment.tiles import folders_of, read_tiles, state_of
from blood_kedro.library.evaluation.resampling import Floats, intervals, mean_error_intervals

IOUS = (0.5, 0.75)


@dataclass(frozen=True)
class ReferenceLook:
    """Masks of the reference that are cells, px of the smear, inside the core of their tile.

    They go through the same filter as those that are counted (one mask for each cell); spots too small for a cell are
    left out.
    """

    folder: Path
    options: SmearInput

    @property
    def name(self) -> str:
        """With the state of the files: other masks, another reference."""
        return f"reference_{fingerprint([str(self.folder), state_of(self.folder), self.options.filter.model_dump()])}"

    def wants(self, _smear: Smear, _place: Place) -> bool:
        """All tiles."""
        return True

    def __call__(self, tile: SeenTile, _pieces: Sequence[Piece]) -> pd.DataFrame:
        """One row per mask.

        Raises:
            BadInputError: there are no reference masks of this tile.
        """
        place, (rgb, _) = tile.place, tile.prepared
        by_cells = self.options.model_copy(update={"filter_rule": "cells"})
        known, _ = cells_among(Precomputed(self.folder)(place.name, rgb, RejectLog(place.name)), rgb, by_cells)
        known = without_spots(known, place.height, place.width, self.options)
        inside = (each.moved(place.left, place.top).clipped(place.core_xyxy_px) for each in known)
        return table_of([each for each in inside if each is not None])


def mask_agreement(
    smears: Sequence[Smear], segmented: pd.DataFrame, work_folder: Path, options: SmearInput
) -> dict[str, Any]:
    """How well masks agree with those of `options.reference_masks`, and counts with theirs.

    The reference goes through the same filter (one mask for each cell); spots too small for a cell are left out on both
    sides. Counts are instances, joined across the borders of tiles on both sides.

    Returns:
        Of each smear: `f1_50, f1_75` with 95% intervals over its tiles (other smears may differ by more), `tiles,
        found, reference` (masks), `count, reference_count, count_error_percent`, and of single tiles (not joined)
        `mean_absolute_error, bias`.
    """
    folders, look = folders_of(segmented, work_folder), ReferenceLook(Path(str(options.reference_masks)), options)
    return {smear.name: _agreement(smear, folders[smear.name], look, options) for smear in smears}


def _agreement(smear: Smear, folder: Path, look: ReferenceLook, options: SmearInput) -> dict[str, Any]:
    segmented = [
        _as_large_as_cells(tile, place, options)
        for tile, place in zip(read_tiles(smear, folder).pieces, smear.grid.places, strict=True)
    ]
    known = [_known(read_look(folder, place.name, look.name)) for place in smear.grid.places]
    pairs = list(zip(segmented, known, strict=True))
    sizes = np.array([[len(ours), len(theirs)] for ours, theirs in pairs], np.float64)
    matched = [[agree(ours, theirs, iou).matched for ours, theirs in pairs] for iou in IOUS]
    names = [f"f1_{round(100 * iou)}" for iou in IOUS]
    sums = np.column_stack([*np.array(matched, np.float64), sizes.sum(axis=1)])

    def statistic(weights: Floats) -> Floats:
        drawn = weights @ sums
        return np.asarray(2 * drawn[:, :-1] / np.maximum(drawn[:, -1:], 1), np.float64)

    unit = "tiles of one smear"
    f1_intervals = intervals(statistic, names, len(pairs), unit=unit, resamples=options.resamples, seed=options.seed)
    difference = sizes[:, 0] - sizes[:, 1]
    by_tile = mean_error_intervals(difference, np.arange(len(pairs)), options.resamples, options.seed, unit)
    counts = [_instances(smear, segmented), _instances(smear, known)]
    return {
        "tiles": len(pairs),
        **dict(zip(names, statistic(np.ones((1, len(pairs))))[0].tolist(), strict=True)),
        **{f"{name}_interval_95": limits for name, limits in f1_intervals.limits.items()},
        "interval_basis": f1_intervals.basis,
        "found": int(sizes[:, 0].sum()),
        "reference": int(sizes[:, 1].sum()),
        "count": counts[0],
        "reference_count": counts[1],
        "count_error_percent": 100 * (counts[0] - counts[1]) / max(counts[1], 1),
        "mean_absolute_error": float(np.abs(difference).mean()),
        "bias": float(difference.mean()),
        "mean_absolute_error_interval_95": by_tile.limits["mean_absolute_error"],
    }


def _as_large_as_cells(pieces: Sequence[Piece], place: Place, options: SmearInput) -> list[Piece]:
    """Masks of a tile, px of the smear, without spots that are too small for a cell."""
    inside = [each.moved(-place.left, -place.top) for each in pieces]
    cells = without_spots(inside, place.height, place.width, options)
    return [each.moved(place.left, place.top) for each in cells]


def _known(look: pd.DataFrame | None) -> list[Piece]:
    return [] if look is None else pieces_of(look)


def _instances(smear: Smear, pieces: list[list[Piece]]) -> int:
    """Cells of a smear: joined masks; one that is oversized and not convex is several, by its area."""
    table = mask_table(smear.grid, pieces)
    joined = list(joined_masks(pieces, table, join_across_borders(smear.grid, table)))
    areas = np.array([each.area_px2 for each in joined], np.float64)
    solidities = np.array([solidity(each.mask) for each in joined], np.float64)
    return int(cells_by_instance(areas, single_cell_area(areas), solidities).sum())
