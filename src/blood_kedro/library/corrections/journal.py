"""The journal of corrections: one row per cell that somebody looked at, and the last row of a cell counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.typing import Series

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.boxes import BOX_COLUMNS, iou
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.limits import SAME_CELL_IOU
from blood_kedro.library.core.schemas.table import Table, column

Box = tuple[float, float, float, float]
Action = Literal["confirmed", "changed", "drawn", "not_a_cell", "unseen"]
ACTIONS = ("confirmed", "changed", "drawn", "not_a_cell", "unseen")
# Of these the type is known: somebody said it.
NAMED = ("confirmed", "changed", "drawn")


@dataclass(frozen=True)
class Correction:
    """What a person says of one cell of a picture.

    Attributes:
        box_xyxy_px: in px of the picture, half-open.
        cell_px: width of a usual red cell in the picture, by which the cell is cut out.
        action: `confirmed` (the model was right), `changed`, `drawn` (the model had missed it), `not_a_cell`, or
            `unseen`: a cell of the same picture that nobody looked at.
        label_before, type_before, sureness: what the model said; None where it said nothing.
        type_after: class of the taxonomy, coarse (`rbc`) or fine (`teardrop`); None for `not_a_cell` and `unseen`.
    """

    box_xyxy_px: Box
    cell_px: float
    action: Action
    label_before: str | None = None
    type_before: str | None = None
    sureness: float | None = None
    type_after: str | None = None


class CorrectionTable(Table):
    """Corrections, the oldest first."""

    picture: Series[str] = column("name of the picture: first 16 digits of the SHA-256 of its file")
    x_min_px: Series[float] = column("left edge of the cell's box, px of the picture")
    y_min_px: Series[float] = column("upper edge, px")
    x_max_px: Series[float] = column("right edge, px, exclusive")
    y_max_px: Series[float] = column("lower edge, px, exclusive")
    cell_px: Series[float] = column("width of a usual red cell in the picture, px", gt=0)
    action: Series[str] = column("what was said of the cell", isin=ACTIONS)
    label_before: Series[str] = column("cell type that the model named", nullable=True)
    type_before: Series[str] = column("type or shape that the model named, or `other`", nullable=True)
    sureness: Series[float] = column("probability that the model gave it, 0 to 1", nullable=True, ge=0, le=1.000001)
    label_after: Series[str] = column("cell type that the person named", nullable=True, isin=taxonomy.COARSE)
    type_after: Series[str] = column("class that the person named", nullable=True, isin=list(taxonomy.PARENT))
    by: Series[str] = column("who said it")
    at: Series[str] = column("when, UTC, ISO 8601; rows that were saved together have the same")
    models: Series[str] = column("digests of the models that had named the cells", nullable=True)


def rows_of(
    picture: str, corrections: Sequence[Correction], *, by: str, at: str, models: str
) -> list[dict[str, object]]:
    """Corrections of one picture as rows of `CorrectionTable`.

    Raises:
        BadInputError: a box is empty or no box, a type is missing, superfluous or unknown, or a width cannot be meant.
    """
    rows: list[dict[str, object]] = []
    for number, each in enumerate(corrections, start=1):
        _check(each, f"picture {picture}, correction {number}")
        rows.append(
            {
                "picture": picture,
                **dict(zip(BOX_COLUMNS, map(float, each.box_xyxy_px), strict=True)),
                "cell_px": float(each.cell_px),
                "action": each.action,
                "label_before": each.label_before,
                "type_before": each.type_before,
                "sureness": each.sureness,
                "label_after": None if each.type_after is None else taxonomy.coarse(each.type_after),
                "type_after": each.type_after,
                "by": by,
                "at": at,
                "models": models,
            }
        )
    return rows


def standing(journal: pd.DataFrame) -> pd.DataFrame:
    """The rows of a journal that count: of each cell the last one that somebody looked at.

    A row is of the same cell as that earlier row of its picture which its box overlaps most, by an IoU of at least
    `SAME_CELL_IOU`: cells that are counted a second time have slightly other boxes. Rows that were saved together are
    of different cells. An `unseen` row replaces no row that somebody looked at.

    Args:
        journal: in `CorrectionTable`, the oldest first.

    Returns:
        Some of its rows, in their order, numbered from 0.
    """
    places_by_picture = [_standing_of(rows) for _, rows in journal.groupby("picture", sort=False)]
    places = np.sort(np.concatenate([np.zeros(0, np.int64), *places_by_picture]))
    return journal.loc[places].reset_index(drop=True)


def _standing_of(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Index of the rows of one picture that count."""
    standing_rows = rows.iloc[:0]
    for _, saved in rows.groupby(["at", "by"], sort=False):
        overlap = iou(saved[BOX_COLUMNS].to_numpy(np.float64), standing_rows[BOX_COLUMNS].to_numpy(np.float64))
        unseen = saved["action"].eq("unseen").to_numpy()
        looked_at = standing_rows["action"].ne("unseen").to_numpy()
        gone, void = np.zeros(len(standing_rows), np.bool_), np.zeros(len(saved), np.bool_)
        for k in range(len(saved)) if len(standing_rows) else ():
            best = int(overlap[k].argmax())
            if overlap[k, best] >= SAME_CELL_IOU:
                void[k] = unseen[k] and looked_at[best]
                gone[best] |= not void[k]
        standing_rows = pd.concat([standing_rows[~gone], saved[~void]])
    return standing_rows.index.to_numpy(np.int64)


def corrections_of(
    cells: pd.DataFrame,
    cell_px: float,
    *,
    changed: Mapping[int, str | None],
    confirmed: Collection[int] = (),
    drawn: Sequence[tuple[Box, str]] = (),
) -> list[Correction]:
    """What a page knows of a picture, as corrections: all its cells, those that nobody looked at as `unseen`.

    Args:
        cells: of the picture: `cell`, its box (`x_min_px` to `y_max_px`), `label`, and `type` and `sureness` where
            types were named.
        cell_px: width of a usual red cell, px of the picture.
        changed: new type by number of the cell; None says that it is no cell. The old type again is a confirmation.
        confirmed: numbers of the cells of which somebody said that they are right.
        drawn: boxes and types of cells that were missed.

    Raises:
        BadInputError: a number is of no cell, or is both changed and confirmed.
    """
    strangers = sorted({*changed, *confirmed} - set(cells["cell"]))
    twice = sorted(set(changed) & set(confirmed))
    if strangers or twice:
        fault = "corrected cells are not in the table" if strangers else "cells are changed and confirmed at once"
        raise BadInputError(fault, got=", ".join(map(str, strangers or twice)))
    corrections = []
    for row in cells.to_dict("records"):
        number, before = int(row["cell"]), _class_of(row)
        action, after = _said(before, changed, number) if number in changed else ("unseen", None)
        if number in confirmed:
            action, after = "confirmed", before
        corrections.append(
            Correction(_box_of(row), cell_px, action, _text(row["label"]), _text(row.get("type")), _number(row), after)
        )
    return [*corrections, *(Correction(box, cell_px, "drawn", type_after=named) for box, named in drawn)]


def _said(before: str | None, changed: Mapping[int, str | None], number: int) -> tuple[Action, str | None]:
    after = changed[number]
    if after is None:
        return "not_a_cell", None
    return ("confirmed" if after == before else "changed"), after


def _class_of(row: Mapping[object, object]) -> str | None:
    """The type that a model named; of a cell that it was unsure of, or did not ask about, its label."""
    return next((name for name in (row.get("type"), row["label"]) if name in taxonomy.PARENT), None)


def _box_of(row: Mapping[object, object]) -> Box:
    x_min, y_min, x_max, y_max = (float(str(row[name])) for name in BOX_COLUMNS)
    return x_min, y_min, x_max, y_max


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(row: Mapping[object, object]) -> float | None:
    value = row.get("sureness")
    return float(value) if isinstance(value, float) and np.isfinite(value) else None


def _check(correction: Correction, where: str) -> None:
    x_min, y_min, x_max, y_max = correction.box_xyxy_px
    if not np.isfinite([x_min, y_min, x_max, y_max]).all() or x_max <= x_min or y_max <= y_min:
        raise BadInputError("the box of a correction holds nothing", where=where, got=str(correction.box_xyxy_px))
    if not 4 <= correction.cell_px <= 2000:
        raise BadInputError(
            "width of a red cell in px cannot be meant", where=where, got=str(correction.cell_px), expected="4 to 2000"
        )
    if (correction.type_after is not None) != (correction.action in NAMED):
        raise BadInputError(
            "a correction has a type where it should have none, or none where it needs one",
            where=where,
            got=f"{correction.action}, type {correction.type_after}",
            expected=f"a type for {', '.join(NAMED)} and no other",
        )
    if correction.type_after is not None and correction.type_after not in taxonomy.PARENT:
        raise BadInputError(
            "a correction names a class that there is not",
            where=where,
            got=correction.type_after,
            expected=", ".join(taxonomy.PARENT),
        )
