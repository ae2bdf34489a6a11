"""What is counted, opened and at its scale: smears, the width of a red cell, and of slides the fields to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.fields_fit import choose_fields, chooses_fields, with_fields
from blood_kedro.library.counting.open.file_scale import at_file_scale, likely_cell_px
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.shipped.detect_pictures import at_measured_scale

# Fields are chosen again where red cells turn out to be wider, or narrower, than they were taken for by this factor.
_OTHER_SCALE = 1.25


@dataclass(frozen=True)
class OpenedInput:
    """Opened smears.

    Attributes:
        options: with `cell_px` measured where that is asked for, and `px_per_um` of the files where that can be right.
        smears: of a slide, with the fields alone that are counted.
        choice: one row per field of a slide that was looked at, columns of `FieldChoice`; else empty.
    """

    options: SmearInput
    smears: list[Smear]
    choice: pd.DataFrame


def open_input(options: SmearInput, paths: Sequence[Path], work_folder: Path, rejects: RejectLog) -> OpenedInput:
    """Open pictures, slides, or a folder of them.

    Args:
        options: how.
        paths: see `open_smears`.
        work_folder: large compressed pictures are unpacked there.
        rejects: gets what cannot be read, and what is not used of it.

    Raises:
        SourceNotFoundError: nothing is there, or nothing that could be read.
        BadInputError: no field shows a cell, or the smears are of several magnifications.
    """
    whole = open_smears(paths, options.tile_px, options.overlap_px, work_folder, rejects, options.layout)
    widths = {smear.name: _first_width(smear, options) for smear in whole}
    smears, choices = _chosen(whole, widths, options)
    options = at_measured_scale(options, smears)
    others = [name for name, width in widths.items() if _differ(width, options.cell_px)]
    if choices and others:
        smears, choices = _chosen(whole, dict.fromkeys(widths, options.cell_px), options)
        options = at_measured_scale(options, smears)
    if choices:
        choice = pd.concat(choices, ignore_index=True)
    else:
        from blood_kedro.library.core.schemas import FieldChoice, empty  # the front door starts without pandera

        choice = empty(FieldChoice)
    for name, fields in choice.groupby("smear", sort=False):
        rejects.add(str(name), "image", "noted", said_of(fields))
    return OpenedInput(at_file_scale(options, smears, rejects), smears, choice)


def _first_width(smear: Smear, options: SmearInput) -> float:
    """How wide red cells are taken to be before they are measured, px."""
    return (likely_cell_px(smear) if options.measure_scale else None) or options.cell_px


def _differ(width_px: float, other_px: float) -> bool:
    return max(width_px, other_px) > _OTHER_SCALE * min(width_px, other_px)


def with_chosen_fields(smear: Smear, width_px: float, options: SmearInput) -> tuple[Smear, pd.DataFrame | None]:
    """A slide with the fields alone that are to be counted, and the choice; any other smear as it is, and None.

    Args:
        smear: opened.
        width_px: of its red cells.
        options: whether fields are chosen, and how.

    Raises:
        BadInputError: no field shows a cell.
    """
    if not chooses_fields(smear, options):
        return smear, None
    choice = choose_fields(smear, width_px, options)
    return with_fields(smear, choice), choice


def _chosen(
    whole: Sequence[Smear], widths: dict[str, float], options: SmearInput
) -> tuple[list[Smear], list[pd.DataFrame]]:
    pairs = [with_chosen_fields(smear, widths[smear.name], options) for smear in whole]
    return [smear for smear, _ in pairs], [choice for _, choice in pairs if choice is not None]


def said_of(fields: pd.DataFrame) -> str:
    """A sentence on a choice of fields."""
    left_out = fields.loc[~fields["chosen"], "reason"].value_counts()
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"{fields['chosen'].sum()} of {len(fields)} fields that were looked at are counted; not: {reasons or 'none'}"
