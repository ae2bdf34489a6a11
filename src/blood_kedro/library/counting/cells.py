"""From the masks of a smear to its cells: one row each, and what they add up to by every rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from blood_kedro.library.counting.count import (
    KdeRule,
    cells_by_instance,
    cells_by_kde,
    cells_by_mode,
    count_interval,
    kde_peaks,
    single_cell_area,
)
from blood_kedro.library.counting.filters import single_area
from blood_kedro.library.counting.join import join_across_borders
from blood_kedro.library.counting.kinds import KINDS, Floats
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece, piece, solidity
from blood_kedro.library.counting.segment import Masks
from blood_kedro.library.counting.tiles import Grid

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
class Counted:
    """A smear that was counted.

    Attributes:
        cells: one row per joined cell, columns `CELL_COLUMNS`; `counted` is how many red cells it stands for where
            instances are counted, `clump` numbers groups of cells of one kind that touch.
        masks: of each row.
        counts: of the smear, see `count_smear`.
        fields: one row per tile: its cells by kind, `overlap_ratio`, `fit_for_counting`, with a scale `rbc_per_mm2`.
        rule: thresholds and density of paper 004's rule (Fig. 6).
        component_areas: px^2 of the connected red regions that the rule was applied to.
    """

    cells: pd.DataFrame
    masks: list[Piece]
    counts: dict[str, Any]
    fields: pd.DataFrame
    rule: KdeRule
    component_areas: npt.NDArray[np.float64]


def count_smear(name: str, grid: Grid, masks: Masks, kinds: list[Floats], options: SmearInput) -> Counted:
    """Join, name and count the cells of a smear.

    Args:
        name: of the smear.
        grid: its tiles.
        masks: of each tile.
        kinds: of each tile, `(N, 3)` probabilities of `KINDS` for its masks.
        options: how to count.

    Where masks have kinds they are a detector's, which told overlapping cells apart and left out what is none: each is
    one cell.

    Returns:
        `counts` holds `smear, rbc, wbc, platelet, rule`, the red cells by each rule (`rbc_instances, rbc_kde_peaks,
        rbc_mode`), `rbc_interval_95` of the rule that counts, over `tiles` (None for a single one), `overlap_ratio`,
        `fit_for_counting`,
        `debris` (small masks that are no platelets), `tiles, failed_tiles, width_px, height_px, seconds`; with a scale
        `rbc_per_mm2`, with a volume `rbc_per_ul`.
    """
    numbers = join_across_borders(grid, masks.pieces)
    flat = [each for tile in masks.pieces for each in tile]
    shares = np.concatenate([np.zeros((0, len(KINDS))), *kinds])
    tile_of = np.repeat(np.arange(len(grid.places)), [len(tile) for tile in masks.pieces])
    joined = joined_masks(flat, numbers)
    cells = _table(joined, flat, numbers, shares, tile_of, grid)
    detected = bool(flat) and all(each.kind is not None for each in flat)
    debris = np.zeros(len(cells), np.bool_) if detected else _debris(cells, options)
    clump = _clumps(numbers, masks, grid, cells["label"].to_numpy(object), debris)
    joined = [each for each, gone in zip(joined, debris, strict=True) if not gone]
    cells = cells[~debris].reset_index(drop=True)
    cells["cell"] = np.arange(1, len(cells) + 1)
    clump = clump[~debris] if detected else _lobes_together(cells, clump[~debris], options)
    cells["clump"] = pd.factorize(clump)[0] + 1
    cells["cells_in_clump"] = cells.groupby("clump")["cell"].transform("size").astype(np.int64)
    red = cells["label"].eq("rbc").to_numpy()
    areas = cells["area_px2"].to_numpy(np.float64)
    whole = red & ~cells["at_border"].to_numpy(bool)
    mode = single_cell_area(areas[whole] if whole.any() else areas[red])
    clumps = cells[red].groupby("clump")
    components = clumps["area_px2"].sum().to_numpy(np.float64)
    rule = kde_peaks(components)
    by_instance = cells_by_instance(areas, mode, cells["solidity"].to_numpy(np.float64))
    if detected:
        by_instance = np.ones_like(by_instance)
    counted = {
        "instances": by_instance[red],
        "kde_peaks": cells_by_kde(components, rule),
        "mode": cells_by_mode(components, mode),
    }
    totals = {name: int(each.sum()) for name, each in counted.items()}
    cells["counted"] = np.where(red, by_instance, 1)
    cells["diameter_um"] = 2 * np.sqrt(areas / np.pi) / options.px_per_um if options.px_per_um else np.nan
    white = cells["label"].eq("wbc").to_numpy()
    counts: dict[str, Any] = {
        "smear": name,
        "rbc": totals[options.count_rule],
        # What touches is one white cell (paper 004, section 3.6), where nobody told touching ones apart.
        "wbc": int(white.sum()) if detected else int(cells.loc[white, "clump"].nunique()),
        "platelet": int(cells["label"].eq("platelet").sum()),
        "rule": options.count_rule,
        **{f"rbc_{rule_name}": total for rule_name, total in totals.items()},
        "debris": int(debris.sum()),
        "single_cell_area_px2": mode,
        "cell_px": float(options.cell_px),  # as given, or as measured on the input
        **_overlap(cells, options),
        "tiles": len(grid.places),
        "failed_tiles": int((masks.log["error"] != "").sum()),
        "width_px": grid.width_px,
        "height_px": grid.height_px,
        "seconds": float(masks.log["seconds"].sum()),
        "rbc_interval_95": None,
    }
    number_of = {place.name: k for k, place in enumerate(grid.places)}
    if len(grid.places) > 1:
        of = cells.loc[red, "tile"] if options.count_rule == "instances" else clumps["tile"].first()
        tiles = np.array([number_of[tile] for tile in of], np.int64)
        found = count_interval(counted[options.count_rule], tiles, len(grid.places), options.resamples, options.seed)
        counts["rbc_interval_95"] = found.limits["count"]
    if options.px_per_um:
        mm2 = sum(_area(place.core_xyxy_px) for place in grid.places) / (options.px_per_um * 1000) ** 2
        counts["rbc_per_mm2"] = counts["rbc"] / mm2
        if options.volume_ul_per_mm2:
            counts["rbc_per_ul"] = counts["rbc_per_mm2"] / options.volume_ul_per_mm2
    return Counted(cells[CELL_COLUMNS], joined, counts, _fields(cells, grid, options), rule, components)


def _lobes_together(cells: pd.DataFrame, clump: npt.NDArray[np.int64], options: SmearInput) -> npt.NDArray[np.int64]:
    """Clumps in which the lobes of one nucleus, masks of their own, are one.

    Two parts of white cells are of one cell if their middles are nearer than a red cell is wide and both are smaller
    than one; whole white cells are larger and further apart.
    """
    small = cells["area_px2"] < single_area(options.cell_px)
    rows = np.flatnonzero((cells["label"].eq("wbc") & small).to_numpy())
    near = cKDTree(cells[["x_px", "y_px"]].to_numpy(np.float64)[rows]).query_pairs(
        options.cell_px, output_type="ndarray"
    )
    ids = pd.factorize(clump)[0]
    pairs = ids[rows[near]].reshape(-1, 2)
    count = int(ids.max()) + 1 if len(ids) else 0
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][ids], np.int64)


def _overlap(cells: pd.DataFrame, options: SmearInput) -> dict[str, Any]:
    """Overlapping red cells for each single one, and whether a field with so many is fit for counting."""
    red = cells[cells["label"] == "rbc"]
    several = int(((red["cells_in_clump"] > 1) | (red["counted"] > 1)).sum())
    ratio = several / max(len(red) - several, 1)
    return {"overlap_ratio": ratio, "fit_for_counting": bool(len(red) and ratio <= options.max_overlap_ratio)}


def _fields(cells: pd.DataFrame, grid: Grid, options: SmearInput) -> pd.DataFrame:
    by_tile = dict(tuple(cells.groupby("tile")))
    rows = []
    for place in grid.places:
        mine = by_tile.get(place.name, cells.iloc[:0])
        red = int(mine.loc[mine["label"] == "rbc", "counted"].sum())
        row: dict[str, Any] = {"tile": place.name, "rbc": red}
        row |= {kind: int((mine["label"] == kind).sum()) for kind in ("wbc", "platelet")}
        row |= _overlap(mine, options)
        if options.px_per_um:
            row["rbc_per_mm2"] = red / (_area(place.core_xyxy_px) / (options.px_per_um * 1000) ** 2)
        rows.append(row)
    return pd.DataFrame(rows)


def _debris(cells: pd.DataFrame, options: SmearInput) -> npt.NDArray[np.bool_]:
    """Masks too small for a cell that are no platelets; what the edge of the smear cuts may be a cell."""
    if options.filter_rule == "published":
        return np.zeros(len(cells), np.bool_)
    small = cells["area_px2"] < options.filter.min_area * single_area(options.cell_px)
    return np.asarray(small & (cells["label"] != "platelet") & ~cells["at_border"], np.bool_)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def joined_masks(flat: list[Piece], numbers: npt.NDArray[np.int64]) -> list[Piece]:
    """One mask per cell, its parts painted into one box; `numbers` are those of `join_across_borders`."""
    parts: dict[int, list[Piece]] = {}
    for each, number in zip(flat, numbers.tolist(), strict=True):
        parts.setdefault(number, []).append(each)
    return [parts[n][0] if len(parts[n]) == 1 else _union(parts[n]) for n in range(1, len(parts) + 1)]


def _union(parts: list[Piece]) -> Piece:
    boxes = np.array([each.box_xyxy_px for each in parts])
    left, top = (int(v) for v in boxes[:, :2].min(axis=0))
    right, bottom = (int(v) for v in boxes[:, 2:].max(axis=0))
    canvas = np.zeros((bottom - top, right - left), np.bool_)
    for each in parts:
        canvas[each.moved(-left, -top).window] |= each.mask
    made = piece(canvas, left, top, float(np.mean([p.score for p in parts])))
    if made is None:
        raise ValueError("a cell without pixels")
    return made


def _table(
    joined: list[Piece],
    flat: list[Piece],
    numbers: npt.NDArray[np.int64],
    shares: Floats,
    tile_of: npt.NDArray[np.int64],
    grid: Grid,
) -> pd.DataFrame:
    """One row per cell; its kind is what its parts say, weighted by their areas."""
    weights = np.array([each.area_px2 for each in flat], np.float64)
    total = np.bincount(numbers, weights, len(joined) + 1)[1:]
    said = np.stack([np.bincount(numbers, weights * share, len(joined) + 1)[1:] for share in shares.T], axis=1)
    p = said / np.maximum(total, 1)[:, None]
    first = np.zeros(len(joined), np.int64)
    first[numbers[::-1] - 1] = tile_of[::-1]
    boxes = np.array([each.box_xyxy_px for each in joined], np.int64).reshape(-1, 4)
    centres = np.array([each.centre_xy_px for each in joined], np.float64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "cell": np.arange(1, len(joined) + 1),
            "tile": [grid.places[k].name for k in first],
            "x_px": centres[:, 0],
            "y_px": centres[:, 1],
            "x_min_px": boxes[:, 0],
            "y_min_px": boxes[:, 1],
            "x_max_px": boxes[:, 2],
            "y_max_px": boxes[:, 3],
            "area_px2": total.astype(np.int64),
            "solidity": [solidity(each.mask) for each in joined],
            "label": np.array(KINDS, object)[p.argmax(axis=1)] if len(joined) else np.array([], object),
            "confidence": p.max(axis=1) if len(joined) else np.array([]),
            "at_border": (boxes[:, 0] == 0)
            | (boxes[:, 1] == 0)
            | (boxes[:, 2] == grid.width_px)
            | (boxes[:, 3] == grid.height_px),
        }
    )


def _clumps(
    numbers: npt.NDArray[np.int64],
    masks: Masks,
    grid: Grid,
    labels: npt.NDArray[np.object_],
    debris: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """The group of touching cells of one kind that each cell lies in; debris ties nothing together."""
    links: list[npt.NDArray[np.int64]] = []
    start = 0
    strips: dict[tuple[int, int], list[npt.NDArray[np.int64]]] = {}
    for place, tile in zip(grid.places, masks.pieces, strict=True):
        own = numbers[start : start + len(tile)]
        start += len(tile)
        left, top, right, bottom = place.core_xyxy_px
        if right <= left or bottom <= top:
            continue  # an anchored tile that shows nothing new
        painted = np.zeros((bottom - top, right - left), np.int64)
        for each, number in zip(tile, own, strict=True):
            painted[each.moved(-left, -top).window][each.mask] = number
        links += [_touching(painted[:, :-1], painted[:, 1:]), _touching(painted[:-1], painted[1:])]
        links += [_touching(painted[:-1, :-1], painted[1:, 1:]), _touching(painted[:-1, 1:], painted[1:, :-1])]
        links += _across_borders(strips, painted, place.core_xyxy_px, grid)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *links]) - 1
    alike = (labels[pairs[:, 0]] == labels[pairs[:, 1]]) & ~debris[pairs].any(axis=1)
    pairs = pairs[alike]
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(labels), len(labels)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _across_borders(
    strips: dict[tuple[int, int], list[npt.NDArray[np.int64]]],
    painted: npt.NDArray[np.int64],
    core: tuple[int, int, int, int],
    grid: Grid,
) -> list[npt.NDArray[np.int64]]:
    """Cells that touch across the left and upper border of a core; its other two edges are kept for tiles to come.

    Args:
        strips: two lines for each border, as long as the smear: what lies before it and behind it.
        painted: numbers of the cells in the core.
        core: its place.
        grid: of the smear.
    """
    left, top, right, bottom = core
    found = []
    for axis, low, high, first, last, span in (
        (0, left, right, painted[:, 0], painted[:, -1], slice(top, bottom)),
        (1, top, bottom, painted[0], painted[-1], slice(left, right)),
    ):
        length = grid.height_px if axis == 0 else grid.width_px
        for position, side, line in ((low, 1, first), (high, 0, last)):
            pair = strips.setdefault((axis, position), [np.zeros(length, np.int64), np.zeros(length, np.int64)])
            pair[side][span] = line
            reach = slice(max(0, span.start - 1), span.stop + 1)
            before, behind = pair[0][reach], pair[1][reach]
            found += [_touching(before, behind), _touching(before[1:], behind[:-1]), _touching(before[:-1], behind[1:])]
    return found


def _touching(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    differ = (a > 0) & (b > 0) & (a != b)
    return np.unique(np.stack([a[differ], b[differ]], axis=1), axis=0)
