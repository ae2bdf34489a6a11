"""What each tile of a smear holds, and whether a field is fit for counting."""

from __future__ import annotations

from typing import Any

import pandas as pd

from blood_kedro.library.counting.open.tiles import Grid
from blood_kedro.library.counting.options import SmearInput


def overlap(cells: pd.DataFrame, options: SmearInput) -> dict[str, Any]:
    """Overlapping red cells for each single one, and whether a field with so many is fit for counting."""
    red = cells[cells["label"] == "rbc"]
    several = int(((red["cells_in_clump"] > 1) | (red["counted"] > 1)).sum())
    ratio = several / max(len(red) - several, 1)
    return {"overlap_ratio": ratio, "fit_for_counting": bool(len(red) and ratio <= options.max_overlap_ratio)}


def fields(cells: pd.DataFrame, grid: Grid, options: SmearInput) -> pd.DataFrame:
    """One row per tile: cells of each kind, `overlap_ratio`, `fit_for_counting`, with a scale `rbc_per_mm2`."""
    by_tile = dict(tuple(cells.groupby("tile")))
    rows = []
    for place in grid.places:
        mine = by_tile.get(place.name, cells.iloc[:0])
        red = int(mine.loc[mine["label"] == "rbc", "counted"].sum())
        row: dict[str, Any] = {"tile": place.name, "rbc": red}
        row |= {kind: int((mine["label"] == kind).sum()) for kind in ("wbc", "platelet")}
        row |= overlap(mine, options)
        if options.px_per_um:
            row["rbc_per_mm2"] = red / (area_px2(place.core_xyxy_px) / (options.px_per_um * 1000) ** 2)
        rows.append(row)
    return pd.DataFrame(rows)


def area_px2(box: tuple[int, int, int, int]) -> int:
    """Area of a half-open box in xyxy px."""
    return (box[2] - box[0]) * (box[3] - box[1])
