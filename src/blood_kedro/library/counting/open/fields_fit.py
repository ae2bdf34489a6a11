"""Which fields of a slide are fit for counting: a monolayer, sharp, neither empty nor crowded.

A reader of smears goes to where red cells lie side by side and few overlap (ICSH, Palmer et al., Int. J. Lab. Hematol.
37, 2015). Here fields spread over the slide are looked at, then the neighbours of those that are fit, for the monolayer
is one zone; of all that are fit, some are taken evenly over the slide, so that the choice prefers none of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.counting.open.field_look import FieldLook, look_at_field
from blood_kedro.library.counting.open.smear import Reader, SlideReader, Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.options import SmearInput

# Upper and left edge of a field's core, px: its place in the grid.
_Corner = tuple[int, int]
# Fewer fields are looked at sooner than processes have started.
_FEW = 32
CHOSEN, NOT_NEEDED = "chosen", "fit, not needed"
CHOICE_COLUMNS = (
    *("smear", "tile", "x_min_px", "y_min_px", "x_max_px", "y_max_px"),
    *("covered_share", "overlap_share", "focus", "chosen", "reason"),
)


def chooses_fields(smear: Smear, options: SmearInput) -> bool:
    """Whether only some fields of a smear are counted: `fields` of the options; by itself, of slides with many."""
    if options.fields == "auto":
        return isinstance(smear.read, SlideReader) and len(smear.grid.places) > options.most_fields
    return options.fields == "fit"


def choose_fields(smear: Smear, cell_px: float, options: SmearInput) -> pd.DataFrame:
    """Look at fields of a smear and choose those to count.

    Args:
        smear: opened, with all its tiles: each is a field.
        cell_px: width of a red cell, px of the smear.
        options: how many fields are taken, and what is fit.

    Returns:
        One row per field that was looked at, row by row, columns `CHOICE_COLUMNS`. Where none is fit, sharp ones that
        overlap least are chosen, and the reason says so.

    Raises:
        BadInputError: no field shows a cell.
    """
    places = {_corner(place): place for place in smear.grid.places}
    most = max(options.field_limits.most_looked_at, options.most_fields)
    looks = _look_at(smear.read, _spread(places, max(1, most // 2)), cell_px, options.workers)
    best_focus = _best_focus(looks.values())
    while len(looks) < most:
        fit = [corner for corner, look in looks.items() if not why_not(look, best_focus, options)]
        near = _neighbours(fit, places, looks.keys())[: most - len(looks)]
        if len(fit) >= options.most_fields or not near:
            break
        looks |= _look_at(smear.read, {corner: places[corner] for corner in near}, cell_px, options.workers)
    corners = sorted(looks)
    return _table(smear.name, {c: places[c] for c in corners}, [looks[c] for c in corners], options)


def why_not(look: FieldLook, best_focus: float, options: SmearInput) -> str:
    """Why a field is not fit for counting; empty where it is.

    Args:
        look: what was measured of it.
        best_focus: of the sharpest tenth of the fields.
        options: the limits.
    """
    limits = options.field_limits
    reasons = (
        (bool(look.error), look.error),
        (look.covered_share < limits.least_covered, "too few cells"),
        (look.covered_share > limits.most_covered, "too crowded"),
        (look.focus < limits.least_focus * best_focus, "out of focus"),
        (look.overlap_share > limits.most_overlapping, "too many overlap"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def with_fields(smear: Smear, choice: pd.DataFrame) -> Smear:
    """The smear with the chosen fields alone."""
    chosen = set(choice.loc[choice["chosen"], "tile"])
    return replace(smear, grid=replace(smear.grid, places=tuple(p for p in smear.grid.places if p.name in chosen)))


def _table(
    smear: str, places: Mapping[_Corner, Place], looks: Sequence[FieldLook], options: SmearInput
) -> pd.DataFrame:
    best_focus = _best_focus(looks)
    reasons = [why_not(look, best_focus, options) for look in looks]
    fit = [k for k, reason in enumerate(reasons) if not reason]
    if fit:
        steps = np.linspace(0, len(fit) - 1, min(len(fit), options.most_fields)).round().astype(int)
        said = dict.fromkeys((fit[k] for k in steps), CHOSEN)
    else:
        said = {k: f"none is fit, and this one least unfit: {reasons[k]}" for k in _least_unfit(looks, options, smear)}
    rows = []
    for k, (place, look) in enumerate(zip(places.values(), looks, strict=True)):
        measured = (look.covered_share, look.overlap_share, look.focus)
        verdict = (k in said, said.get(k, reasons[k] or NOT_NEEDED))
        rows.append((smear, place.name, *place.core_xyxy_px, *measured, *verdict))
    return pd.DataFrame(rows, columns=list(CHOICE_COLUMNS))


def _least_unfit(looks: Sequence[FieldLook], options: SmearInput, smear: str) -> list[int]:
    """Fields to take where none is fit: of those that show cells and are sharp, where least overlaps."""
    sharp = options.field_limits.least_focus * _best_focus(looks)
    seen = [k for k, look in enumerate(looks) if look.shows_cells and look.focus >= sharp]
    if not seen:
        most = max((look.covered_share for look in looks), default=0.0)
        raise BadInputError(
            "no field of the slide shows a cell",
            where=smear,
            got=f"{len(looks)} fields, stained to {most:.1%} at most",
            remedy="count it whole with fields: all, or cut out the part to be counted",
        )
    return sorted(seen, key=lambda k: looks[k].overlap_share)[: options.most_fields]


def _best_focus(looks: Iterable[FieldLook]) -> float:
    """Focus of the sharpest tenth of fields that show cells."""
    seen = [look.focus for look in looks if look.shows_cells]
    return float(np.percentile(seen, 90)) if seen else 0.0


def _corner(place: Place) -> _Corner:
    return place.core_xyxy_px[1], place.core_xyxy_px[0]


def _spread(places: Mapping[_Corner, Place], most: int) -> dict[_Corner, Place]:
    """At most so many places, at equal steps across and down."""
    step = int(np.ceil(np.sqrt(len(places) / most)))
    tops, lefts = (sorted({corner[axis] for corner in places})[step // 2 :: step] for axis in (0, 1))
    rows, columns = set(tops), set(lefts)
    return {corner: place for corner, place in places.items() if corner[0] in rows and corner[1] in columns}


def _neighbours(
    corners: Sequence[_Corner], places: Mapping[_Corner, Place], known: Container[_Corner]
) -> list[_Corner]:
    """Places that touch one of these and were not looked at."""
    tops, lefts = (sorted({corner[axis] for corner in places}) for axis in (0, 1))
    row_of, column_of = ({value: k for k, value in enumerate(values)} for values in (tops, lefts))
    near: dict[_Corner, None] = {}
    for top, left in corners:
        for row in range(max(row_of[top] - 1, 0), min(row_of[top] + 2, len(tops))):
            for column in range(max(column_of[left] - 1, 0), min(column_of[left] + 2, len(lefts))):
                corner = tops[row], lefts[column]
                if corner in places and corner not in known:
                    near[corner] = None
    return list(near)


@dataclass(frozen=True)
class _Looking:
    read: Reader
    cell_px: float

    def __call__(self, place: Place) -> FieldLook:
        try:
            return look_at_field(self.read(place), self.cell_px)
        except BadInputError as error:
            return FieldLook(0.0, 0.0, 0.0, error.what)


def _look_at(read: Reader, places: Mapping[_Corner, Place], cell_px: float, workers: int) -> dict[_Corner, FieldLook]:
    looking = _Looking(read, cell_px)
    if len(places) <= _FEW:
        return {corner: looking(place) for corner, place in places.items()}
    looks = in_processes(looking, places.values(), workers or -1, ordered=True)
    return dict(zip(places, looks, strict=True))
