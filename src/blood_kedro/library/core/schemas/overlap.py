"""Tables of weak supervision: measures of red cells, votes of rules, labels made of them, answers of studies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandera.pandas import dataframe_check
from pandera.typing import Series

from blood_kedro.library.core.schemas.table import SPLITS, Table, column


class OverlapCrops(Table):
    """Red cells in boxes and what was measured of them (`overlap/regions.py`); the row order is that of their crops."""

    cell_id: Series[str] = column("name of the cell", unique=True)
    image_id: Series[str] = column("picture that it was cut from")
    group_id: Series[str] = column("group that a split keeps whole")
    part: Series[str] = column("train, val or test", isin=SPLITS)
    x_min_px: Series[float] = column("left edge of the box, px of the picture")
    y_min_px: Series[float] = column("upper edge, px")
    x_max_px: Series[float] = column("right edge, px, exclusive")
    y_max_px: Series[float] = column("lower edge, px, exclusive")
    component: Series[int] = column("number of the connected component in its picture; 0: no cell found", ge=0)
    at_border: Series[bool] = column("whether the picture's border cuts it")
    otsu_area: Series[float] = column("stained area in the box by Otsu's threshold, px^2", nullable=True)
    relative_area: Series[float] = column("area of the component, in usual red cells", nullable=True)
    neighbour_iou: Series[float] = column("largest IoU of the box with another, 0 to 1", ge=0, le=1)
    concavity: Series[float] = column("depth of the deepest dent, in widths of a cell", nullable=True)
    peaks: Series[int] = column("peaks of the distance transform: middles of cells", ge=0)
    ellipse_residual: Series[float] = column("how far the outline is from the best ellipse", nullable=True)
    solidity: Series[float] = column("area over that of the convex hull, 0 to 1", nullable=True)
    true_cells: Series[float] = column(
        "cells that the component really holds, empty where nobody knows; never trained on", nullable=True
    )


class Votes(Table):
    """What each rule says of each crop; rows in the order of the measures, one column per rule."""

    rules: Series[np.int8] = column("0 single, 1 overlapping, -1 nothing", alias="^.+$", regex=True, isin=[-1, 0, 1])


class WeakLabels(Table):
    """What the label model makes of the votes; rows in the order of the measures, empty where no rule says anything."""

    overlapping: Series[float] = column("probability that the cell overlaps another, 0 to 1", ge=0, le=1, nullable=True)
    cells: Series[float] = column(
        "probability that the component holds so many cells (the last: or more), 0 to 1",
        alias=r"^cells_\d+$",
        regex=True,
        ge=0,
        le=1.000001,
        nullable=True,
    )


class RuleReport(Table):
    """How each rule, and their combination, does; shares are from 0 to 1."""

    rule: Series[str] = column("name of the rule, or `combined`", unique=True)
    coverage: Series[float] = column("share of crops that it speaks of", ge=0, le=1, nullable=True)
    overlapping: Series[float] = column("share of these that it calls overlapping", ge=0, le=1, nullable=True)
    conflict: Series[float] = column("share where another rule says the opposite", ge=0, le=1, nullable=True)
    estimated_accuracy: Series[float] = column("what the label model believes", nullable=True)
    accuracy: Series[float] = column("on crops of known truth that it speaks of", ge=0, le=1, nullable=True)
    judged: Series[int] = column("number of these", ge=0)


class ClassifierAnswers(Table):
    """What a classifier says of each of its test crops: of red cells that may overlap, or of kinds of cells."""

    cell_id: Series[str] = column("name of the cell")
    image_id: Series[str] | None = column("picture that it was cut from")
    group_id: Series[str] = column("group that the split kept whole")
    true_cells: Series[float] | None = column("cells that its component really holds", nullable=True)
    label: Series[Any] = column(
        "what it was to say: a kind of cell, or the weak label, which is a probability of overlap", nullable=True
    )
    overlapping: Series[float] | None = column("probability of overlap, 0 to 1", ge=0, le=1)
    probabilities: Series[float] = column(
        "probability of each class, 0 to 1", alias="^p_.+$", regex=True, ge=0, le=1.000001
    )

    @dataframe_check(error="p_* add up to 1")
    def whole(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Classes exclude each other."""
        return (table.filter(regex="^p_").sum(axis=1) - 1).abs() < 1e-3
