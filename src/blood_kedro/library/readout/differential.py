"""The differential count of white cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from blood_kedro.library.core.taxonomy import NOT_NAMED, UNSURE, roll_up
from blood_kedro.library.readout.intervals import Drawing, Fields, Number, Result, fields_of, ratio_of, share_of

# A differential is told of so many white cells (CLSI H20-A2, 2007; Rumke, in Differential leukocyte counting, 1979).
ENOUGH_WHITE_CELLS = 100
_TYPES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "immature_granulocyte")
_ERYTHROBLAST = "erythroblast"
_NEUTROPHILS = ("segmented_neutrophil", "band_neutrophil")


class TypeShare(Result):
    """White cells of one type."""

    type: str = Field(description="class of the taxonomy; `other`: unsure; `not named`: not asked")
    cells: int = Field(ge=0, description="how many")
    percent: Number = Field(description="of all white cells, `other` and `not named` among them")
    percent_of_named: Number | None = Field(
        description="of the white cells that have a type; null for `other` and `not named`"
    )


class Differential(Result):
    """Types of white cells; erythroblasts stand apart, as nucleated red cells do in a laboratory."""

    white_cells: int = Field(ge=0, description="all white cells, erythroblasts not among them")
    named: int = Field(ge=0, description="those that have a type")
    types: tuple[TypeShare, ...] = Field(
        description="neutrophils of all kinds summed; `other` are those of which the classifier was unsure; they "
        "sum to `white_cells`"
    )
    neutrophils: tuple[TypeShare, ...] = Field(
        description="kinds of neutrophils that were told apart; already in `types`"
    )
    erythroblasts: int = Field(ge=0, description="with `white_cells`: all that the count calls white cells")
    erythroblasts_per_100: Number = Field(description="per 100 white cells, erythroblasts not among them")
    sufficient: bool = Field(description=f"whether at least {ENOUGH_WHITE_CELLS} white cells have a type")
    reason: str = Field(description="why not; empty where they are")


def differential(cells: pd.DataFrame, fields: pd.DataFrame, drawing: Drawing) -> Differential:
    """Types of the white cells of one smear, or of several together.

    Args:
        cells: of `settled`, with `type`.
        fields: of `settled`, the tiles of these smears.
        drawing: how intervals are made.

    Raises:
        UnknownLabelError: a type is none of the taxonomy's.
    """
    white = cells[cells["label"] == "wbc"]
    places = fields_of(white, fields)
    types = white["type"].fillna(NOT_NAMED).astype(str).to_numpy(object)
    rolled = np.array([_type_of(each) for each in types], object)
    erythroblast = rolled == _ERYTHROBLAST
    named = ~erythroblast & ~np.isin(rolled, [UNSURE, NOT_NAMED])
    shares = tuple(
        _share(name, rolled == name, ~erythroblast, named, places, drawing) for name in (*_TYPES, UNSURE, NOT_NAMED)
    )
    kinds = tuple(_share(name, types == name, ~erythroblast, named, places, drawing) for name in _NEUTROPHILS)
    enough = bool(named.sum() >= ENOUGH_WHITE_CELLS)
    reason = "" if enough else f"insufficient: {named.sum()} of {ENOUGH_WHITE_CELLS} white cells"
    unnamed = int((~erythroblast).sum() - named.sum())
    return Differential(
        white_cells=int((~erythroblast).sum()),
        named=int(named.sum()),
        types=tuple(each for each in shares if each.type != NOT_NAMED or each.cells),
        neutrophils=tuple(each for each in kinds if each.cells),
        erythroblasts=int(erythroblast.sum()),
        erythroblasts_per_100=ratio_of(places.sums(erythroblast), places.sums(~erythroblast), drawing, 100),
        sufficient=enough,
        reason=reason + (f" ({unnamed} more have no type)" if reason and unnamed else ""),
    )


def _type_of(name: str) -> str:
    """The row of the table that a type belongs to."""
    return name if name in (UNSURE, NOT_NAMED) else roll_up(name, (*_TYPES, _ERYTHROBLAST)) or UNSURE


def _share(
    name: str,
    cells: npt.NDArray[np.bool_],
    white: npt.NDArray[np.bool_],
    named: npt.NDArray[np.bool_],
    places: Fields,
    drawing: Drawing,
) -> TypeShare:
    mine = places.sums(cells)
    asked = name not in (UNSURE, NOT_NAMED)
    return TypeShare(
        type=name,
        cells=int(cells.sum()),
        percent=share_of(mine, places.sums(white), drawing, 100),
        percent_of_named=share_of(mine, places.sums(named), drawing, 100) if asked else None,
    )
