"""From the masks of a smear to its cells: one row each, and what they add up to by every rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.counting.count.clumps import clumps, lobes_together, overlapping
from blood_kedro.library.counting.count.fields import area_px2, fields, overlap
from blood_kedro.library.counting.count.join import join_across_borders
from blood_kedro.library.counting.count.joined import joined_masks, table_of_cells
from blood_kedro.library.counting.count.mask_table import mask_table
from blood_kedro.library.counting.count.rules import CountRule, RedCells, count_interval, instances, single_cell_area
from blood_kedro.library.counting.name.cell_types import Floats
from blood_kedro.library.counting.open.tiles import Grid
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.segment.filters import single_area
from blood_kedro.library.counting.segment.tiles import SmearMasks

CELL_COLUMNS = [
    "cell",
    "tile",
    "x_px",
    "y_px",
    "x_min_px",
    "y_min_px",
    "x_max_px",
    "y_max_px",
    "area_px2",
    "solidity",
    "label",
    "confidence",
    "at_border",
    "clump",
    "cells_in_clump",
    "counted",
    "diameter_um",
]


@dataclass(frozen=True)
class CountedSmear:
    """A smear that was counted.

    Attributes:
        cells: one row per joined cell, columns `CELL_COLUMNS`; `counted` is how many red cells it stands for where
            instances are counted, `clump` numbers groups of cells of one kind that touch.
        masks: one row per cell, columns `joined.MASK_COLUMNS`.
        counts: of the smear, see `count_smear`.
        fields: one row per tile: its cells by kind, `overlap_ratio`, `fit_for_counting`, with a scale `rbc_per_mm2`.
    """

    cells: pd.DataFrame
    masks: pd.DataFrame
    counts: dict[str, Any]
    fields: pd.DataFrame


def count_smear(
    name: str, grid: Grid, masks: SmearMasks, kinds: Floats, options: SmearInput, rules: Mapping[str, CountRule]
) -> CountedSmear:
    """Join, name and count the cells of a smear.

    Args:
        name: of the smear.
        grid: its tiles.
        masks: of each tile.
        kinds: `(N, 3)`, probabilities of `CELL_TYPES` of the masks of all tiles.
        options: how to count; its `count_rule` is one of `rules`.
        rules: all that red cells are counted by.

    Where masks have kinds they are a detector's, which told overlapping cells apart and left out what is none: each is
    one cell, and a clump is of those that lie on each other, not of those that touch.

    Returns:
        `counts` holds `smear, rbc, wbc, platelet, rule`, the red cells by each rule (`rbc_instances` and so on),
        `rbc_interval_95` of the rule that counts, over `tiles` (None for a single one), `overlap_ratio`,
        `fit_for_counting`,
        `debris` (small masks that are no platelets), `tiles, failed_tiles, counted_px2` (area of the tiles),
        `width_px, height_px, seconds`; with a scale
        `rbc_per_mm2`, with a volume `rbc_per_ul`.
    """
    table = mask_table(grid, masks.pieces)
    numbers, detected = join_across_borders(grid, table), table.detected
    cells, outlines = table_of_cells(joined_masks(masks.pieces, table, numbers), table, numbers, kinds, grid)
    debris = np.zeros(len(cells), np.bool_) if detected else _debris(cells, options)
    labels = cells["label"].to_numpy(object)
    clump = overlapping(cells) if detected else clumps(numbers, masks, grid, labels, debris)
    cells, outlines = (each[~debris].reset_index(drop=True) for each in (cells, outlines))
    cells["cell"] = outlines["cell"] = np.arange(1, len(cells) + 1)
    clump = clump[~debris] if detected else lobes_together(cells, clump[~debris], options)
    cells["clump"] = pd.factorize(clump)[0] + 1
    cells["cells_in_clump"] = cells.groupby("clump")["cell"].transform("size").astype(np.int64)
    red = cells["label"].eq("rbc").to_numpy()
    areas = cells["area_px2"].to_numpy(np.float64)
    whole = red & ~cells["at_border"].to_numpy(bool)
    single_px2 = single_cell_area(areas[whole] if whole.any() else areas[red])
    clump_numbers = cells["clump"].to_numpy(np.int64)
    solidities = cells["solidity"].to_numpy(np.float64)
    seen = RedCells(areas[red], solidities[red], clump_numbers[red], single_px2, detected)
    counted = {rule_name: rule.cells(seen) for rule_name, rule in rules.items()}
    totals = {rule_name: int(each.sum()) for rule_name, each in counted.items()}
    cells["counted"] = 1
    cells.loc[red, "counted"] = instances(seen)
    cells["diameter_um"] = 2 * np.sqrt(areas / np.pi) / options.px_per_um if options.px_per_um else np.nan
    white = cells["label"].eq("wbc").to_numpy()
    counts: dict[str, Any] = {
        "smear": name,
        "rbc": totals[options.count_rule],
        # What touches is one white cell (Rao et al. 2024, section 3.6), where nobody told touching ones apart.
        "wbc": int(white.sum()) if detected else int(cells.loc[white, "clump"].nunique()),
        "platelet": int(cells["label"].eq("platelet").sum()),
        "rule": options.count_rule,
        **{f"rbc_{rule_name}": total for rule_name, total in totals.items()},
        "debris": int(debris.sum()),
        "single_cell_area_px2": single_px2,
        "cell_px": float(options.cell_px),  # as given, or as measured on the input
        **overlap(cells, options),
        "tiles": len(grid.places),
        "failed_tiles": int((masks.log["error"] != "").sum()),
        "counted_px2": sum(area_px2(place.core_xyxy_px) for place in grid.places),
        "width_px": grid.width_px,
        "height_px": grid.height_px,
        "seconds": float(masks.log["seconds"].sum()),
        "rbc_interval_95": None,
    }
    number_of = {place.name: k for k, place in enumerate(grid.places)}
    if len(grid.places) > 1:
        of = cells.loc[red, "tile"]
        if rules[options.count_rule].per == "clump":
            of = cells[red].groupby("clump")["tile"].first()
        tiles = np.array([number_of[tile] for tile in of], np.int64)
        interval = count_interval(counted[options.count_rule], tiles, len(grid.places), options.resamples, options.seed)
        counts["rbc_interval_95"] = interval.limits["count"]
    if options.px_per_um:
        mm2 = counts["counted_px2"] / (options.px_per_um * 1000) ** 2
        counts["rbc_per_mm2"] = counts["rbc"] / mm2
        if options.volume_ul_per_mm2:
            counts["rbc_per_ul"] = counts["rbc_per_mm2"] / options.volume_ul_per_mm2
    return CountedSmear(cells[CELL_COLUMNS], outlines, counts, fields(cells, grid, options))


def _debris(cells: pd.DataFrame, options: SmearInput) -> npt.NDArray[np.bool_]:
    """Masks too small for a cell that are no platelets; what the edge of the smear cuts may be a cell."""
    if options.filter_rule == "published":
        return np.zeros(len(cells), np.bool_)
    small = cells["area_px2"] < options.filter.min_area * single_area(options.cell_px)
    return np.asarray(small & (cells["label"] != "platelet") & ~cells["at_border"], np.bool_)
