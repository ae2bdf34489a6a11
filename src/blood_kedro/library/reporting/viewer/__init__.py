"""Pictures with the outlines of their cells, to look at and to correct: `viewer.js`, and what it is given."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.reporting.picture_pages import Picture
from blood_kedro.library.reporting.viewer.close_ups import COLUMNS, SIDE_PX, CloseUps


@dataclass(frozen=True)
class OutlinedPicture:
    """A picture, made small enough to be shown, and its cells.

    Attributes:
        picture: see there.
        cells: `cell, label` and the box in px of the smear, with `type` and `sureness` where types were named.
        outlines: of each row of `cells`, px of the shown picture; empty: boxes are drawn.
        ranks: of each row of `cells`, when it is best looked at; 0 is first.
        cell_px: width of a red cell, px of the smear; None where nobody has measured it.
        um_per_px: of the smear; likewise.
        close_ups: of cells that are too small on the picture to be named; None where all are large enough.
    """

    picture: Picture
    cells: pd.DataFrame
    outlines: Sequence[Sequence[tuple[float, float]]]
    ranks: Sequence[int]
    cell_px: float | None
    um_per_px: float | None
    close_ups: CloseUps | None = None


def shown_picture(each: OutlinedPicture, source: str, close_ups: str = "") -> dict[str, Any]:
    """A picture as the viewer takes it; `source` is the address of its pixels, `close_ups` that of their sheet."""
    height, width = each.picture.rgb.shape[:2]
    outlines: Sequence[Sequence[tuple[float, float]] | None] = each.outlines or [None] * len(each.cells)
    rows = zip(each.cells.to_dict("records"), outlines, each.ranks, strict=True)
    return {
        "name": each.picture.name,
        "src": source,
        "width": width,
        "height": height,
        "scale": each.picture.scale,
        "cell_px": each.cell_px,
        "um_per_px": each.um_per_px,
        "sheet": None if each.close_ups is None else _sheet(each.close_ups, close_ups),
        "cells": [_cell(row, outline, rank, each) for row, outline, rank in rows],
    }


def _sheet(close_ups: CloseUps, source: str) -> dict[str, Any]:
    return {"src": source, "columns": COLUMNS, "rows": close_ups.rgb.shape[0] // SIDE_PX}


def viewer_data(pictures: Sequence[dict[str, Any]], types: Mapping[str, Sequence[str]], save: str) -> dict[str, Any]:
    """All that the viewer takes.

    Args:
        pictures: of `shown_picture`.
        types: that a cell of each kind may get.
        save: what the button says that saves corrections; empty: nothing is corrected.
    """
    return {"pictures": list(pictures), "types": {kind: list(names) for kind, names in types.items()}, "save": save}


def script() -> str:
    """The viewer, JavaScript."""
    return files(__name__).joinpath("viewer.js").read_text(encoding="utf-8")


def style() -> str:
    """Its CSS, without the colours of the kinds of cells."""
    return files(__name__).joinpath("viewer.css").read_text(encoding="utf-8")


def as_json(data: Mapping[str, Any]) -> str:
    """Data as JSON that may stand in a script element of a page, whatever the names of pictures are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _cell(
    row: dict[Any, Any], outline: Sequence[tuple[float, float]] | None, rank: int, of: OutlinedPicture
) -> dict[str, Any]:
    scale = of.picture.scale
    spots = {} if of.close_ups is None else of.close_ups.spots
    box_px = [float(row[name]) for name in BOX_COLUMNS]
    x0, y0, x1, y1 = (round(value * scale, 1) for value in box_px)
    points = outline or [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    sureness = row.get("sureness")
    named = row.get("type")
    return {
        "id": int(row["cell"]),
        "label": str(row["label"]),
        "type": str(row["label"]) if named is None or pd.isna(named) else str(named),
        "sureness": None if sureness is None or math.isnan(sureness) else round(float(sureness), 3),
        "d": "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z",
        "rank": rank,
        "spot": spots.get(int(row["cell"])),
        "cut": bool(row.get("at_border", False)),
        "box": [x0, y0, x1, y1],
        "box_px": box_px,
    }
