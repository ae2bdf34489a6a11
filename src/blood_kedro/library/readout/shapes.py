"""Shapes of the red cells of a field: how many have which, graded, and corrected for what the classifier mistakes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from blood_kedro.library.core.errors import UnknownLabelError
from blood_kedro.library.core.limits import ENOUGH_RED_CELLS
from blood_kedro.library.core.taxonomy import NOT_NAMED, UNSURE
from blood_kedro.library.evaluation.resampling import FEW_GROUPS
from blood_kedro.library.readout.confusion import Mistakes, corrected_shares
from blood_kedro.library.readout.grades import Grade, grade_of, thresholds_of
from blood_kedro.library.readout.intervals import Drawing, Floats, Number, Result, fields_of, share_of

SCHISTOCYTE = "schistocyte"
# With more unsure cells than this share of those that were asked for, the field is unlike those that the classifier
# was judged on, and its mistakes there say nothing here.
MOST_UNSURE = 0.5


class ShapeShare(Result):
    """Red cells of one shape."""

    shape: str = Field(description="class of the classifier")
    icsh_name: str | None = Field(description="what ICSH 2015 calls it; null for what ICSH does not grade")
    cells: int = Field(ge=0, description="how many were given this shape")
    percent: Number = Field(description="as answered: of the whole red cells that have a shape")
    percent_corrected: Number | None = Field(
        description="the same, corrected for the classifier's mistakes; null: see `correction`"
    )
    grade: Grade | None = Field(description="by ICSH 2015, of the corrected percent if there is one; null: not graded")
    grade_low: Grade | None = Field(description="the grade at the lower limit of that percent")
    grade_high: Grade | None = Field(description="the grade at the upper limit")


class Shapes(Result):
    """Shapes of the red cells that lie whole in the field."""

    whole_cells: int = Field(ge=0, description="red cells that the border does not cut")
    named: int = Field(ge=0, description="those that have a shape: all percents are of them")
    unsure: int = Field(ge=0, description="`other`: the classifier was too unsure")
    not_named: int = Field(ge=0, description="not asked: too many red cells on one smear")
    shapes: tuple[ShapeShare, ...] = Field(description="one for each class of the classifier")
    schistocytes_per_1000: Number = Field(description="per 1,000 red cells that have a shape, as answered")
    schistocytes_per_1000_corrected: Number | None = Field(description="the same, corrected; null: see `correction`")
    sufficient: bool = Field(description=f"whether at least {ENOUGH_RED_CELLS:,} red cells have a shape")
    reason: str = Field(description="why not; empty where they are")
    correction: str = Field(description="what the correction rests on, or why there is none")


def shapes(cells: pd.DataFrame, fields: pd.DataFrame, mistakes: Mistakes, drawing: Drawing) -> Shapes:
    """Shapes of the red cells of one smear, or of several together.

    Args:
        cells: of `settled`, with `type`.
        fields: of `settled`, the tiles of these smears.
        mistakes: of the classifier that named them.
        drawing: how intervals are made.

    Raises:
        UnknownLabelError: a shape is none of the classifier's.
    """
    whole = cells[(cells["label"] == "rbc") & ~cells["at_border"].astype(bool)]
    places = fields_of(whole, fields)
    types = whole["type"].fillna(NOT_NAMED).astype(str).to_numpy(object)
    has_shape = ~np.isin(types, [UNSURE, NOT_NAMED])
    _check(types[has_shape], mistakes.classes)
    one_hot = np.stack([types == name for name in mistakes.classes], axis=1).astype(np.float64)
    by_field = np.stack([places.sums(column) for column in one_hot.T], axis=1)
    named, unsure = int(has_shape.sum()), int((types == UNSURE).sum())
    why_not = _why_not(named, unsure, mistakes)
    corrected: list[Number] | None = None
    if not why_not:
        if np.count_nonzero(by_field.sum(axis=1)) >= FEW_GROUPS:
            corrected = corrected_shares(by_field, mistakes, drawing, "fields")
        else:
            corrected = corrected_shares(one_hot[has_shape], mistakes, drawing, "cells")
    asked = places.sums(has_shape)
    rows = [
        _row(name, by_field[:, k], asked, None if corrected is None else corrected[k], drawing)
        for k, name in enumerate(mistakes.classes)
    ]
    mine = next((row for row in rows if row.shape == SCHISTOCYTE), None)
    enough = named >= ENOUGH_RED_CELLS
    return Shapes(
        whole_cells=len(whole),
        named=named,
        unsure=unsure,
        not_named=len(whole) - named - unsure,
        shapes=tuple(rows),
        schistocytes_per_1000=Number(value=None) if mine is None else _per_1000(mine.percent),
        schistocytes_per_1000_corrected=(
            None if mine is None or mine.percent_corrected is None else _per_1000(mine.percent_corrected)
        ),
        sufficient=enough,
        reason="" if enough else f"insufficient: {named:,} of {ENOUGH_RED_CELLS:,} red cells",
        correction=f"not corrected: {why_not}" if why_not else f"corrected by the answers to {mistakes.basis}",
    )


def _why_not(named: int, unsure: int, mistakes: Mistakes) -> str:
    if not named:
        return "no red cell has a shape"
    if unsure > MOST_UNSURE * (named + unsure):
        return (
            f"the classifier is unsure of {unsure} of {named + unsure} cells: this field is unlike those that its "
            "mistakes were measured on"
        )
    return mistakes.why_not()


def _row(shape: str, cells: Floats, named: Floats, corrected: Number | None, drawing: Drawing) -> ShapeShare:
    percent = share_of(cells, named, drawing, 100)
    graded = percent if corrected is None else corrected
    limits = thresholds_of(shape)
    value, low, high = (
        None if number is None else grade_of(shape, number) for number in (graded.value, graded.low, graded.high)
    )
    return ShapeShare(
        shape=shape,
        icsh_name=None if limits is None else limits.icsh_name,
        cells=int(cells.sum()),
        percent=percent,
        percent_corrected=corrected,
        grade=value,
        grade_low=low,
        grade_high=high,
    )


def _per_1000(percent: Number) -> Number:
    value, low, high = (None if each is None else 10 * each for each in (percent.value, percent.low, percent.high))
    return Number(value=value, low=low, high=high, method=percent.method)


def _check(types: npt.NDArray[np.object_], classes: tuple[str, ...]) -> None:
    unknown = sorted(set(types) - set(classes))
    if unknown:
        raise UnknownLabelError(
            "red cells have shapes that the classifier does not tell apart",
            got=", ".join(map(str, unknown)),
            expected=f"of {', '.join(classes)}",
            remedy="give the config of the classifier that named them",
        )
