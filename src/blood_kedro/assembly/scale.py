"""At which width of a red cell a smear is read: found on its pictures; what was said of it is checked against that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.limits import LEAST_SCALE_CONFIDENCE
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.readout.scale import Scale, cell_px_at
from blood_kedro.library.shipped.detect_pictures import MOST_TILES
from blood_kedro.library.shipped.load import load
from blood_kedro.library.shipped.scale import FoundScale, check_width, contradicts


def found_scale(smear: Smear) -> FoundScale:
    """Width of a red cell on some tiles of a smear: medians of the widths and of how sure they are; NaN and 0 if none.

    Raises:
        BadInputError: a tile cannot be read.
    """
    model, places = load("scale"), smear.grid.places
    chosen = places[:: max(1, len(places) // MOST_TILES)][:MOST_TILES]
    answers: list[FoundScale] = [model.predict(smear.read(place)) for place in chosen]
    answered = [each for each in answers if np.isfinite(each.cell_px)]
    if not answered:
        return FoundScale(float("nan"), 0.0)
    widths = np.array([each.cell_px for each in answered])
    return FoundScale(float(np.median(widths)), float(np.median([each.confidence for each in answered])))


def scale_of(
    smear: Smear, cell_px: float | None, um_per_px: float | None, of_file: tuple[float, str] | None
) -> tuple[Scale, list[str]]:
    """The scale that a smear is read at, and sentences on it for whoever reads the result.

    A width that was given is taken, one that micrometres per pixel imply where none is found on the pictures; else the
    one that was found.

    Args:
        smear: opened.
        cell_px: width of a red cell that the user gives, px.
        um_per_px: likewise micrometres per pixel.
        of_file: micrometres per pixel that the file says, and where.

    Raises:
        BadInputError: what was given cannot be meant (`check_width`), or nothing was given and no red cell is found.
    """
    measured = found_scale(smear)
    said, notes = um_per_px, []
    where = smear.file or smear.name
    check_given(cell_px, um_per_px, measured, where)
    if um_per_px is None and of_file is not None:
        said, said_by = of_file
        stated_px = cell_px_at(said)
        if contradicts(stated_px, measured):
            notes.append(
                f"The file says {said:.3g} um per pixel ({said_by}), so that red cells would be {stated_px:.0f} px "
                f"wide; they look {measured.cell_px:.0f} px wide. The file is not believed, and nothing is given in um."
            )
            said = None
    if cell_px is not None:
        width, origin, confidence = cell_px, "given", 1.0
    elif np.isfinite(measured.cell_px) and (measured.confidence >= LEAST_SCALE_CONFIDENCE or said is None):
        width, origin, confidence = measured.cell_px, "measured", measured.confidence
    elif said is not None:
        width, origin, confidence = cell_px_at(said), "given" if um_per_px is not None else "metadata", 0.5
    else:
        raise no_width(where)
    um_origin = None if said is None else "given" if um_per_px is not None else "metadata"
    return Scale(cell_px=width, origin=origin, confidence=confidence, um_per_px=said, um_origin=um_origin), notes


def check_given(cell_px: float | None, um_per_px: float | None, measured: FoundScale, where: str) -> None:
    """Whether a scale that was given may be that of a picture; None where nothing was given.

    Args:
        cell_px: width of a red cell, px.
        um_per_px: micrometres per pixel.
        measured: on the picture.
        where: its name.

    Raises:
        BadInputError: it cannot be (`check_width`).
    """
    if cell_px is not None:
        check_width(cell_px, measured, where)
    if um_per_px is not None:
        check_width(cell_px_at(um_per_px), measured, where, f"{um_per_px:g} um per pixel make a red cell")


def check_given_in(options: SmearInput, smears: Sequence[Smear]) -> None:
    """The same for what the settings of an input give, on some of its smears, `MOST_TILES` at most.

    Raises:
        BadInputError: see `check_given`; or a tile cannot be read.
    """
    cell_px = None if options.measure_scale else options.cell_px
    um_per_px = None if options.px_per_um is None else 1 / options.px_per_um
    if cell_px is None and um_per_px is None:
        return
    for smear in smears[:: max(1, len(smears) // MOST_TILES)][:MOST_TILES]:
        check_given(cell_px, um_per_px, found_scale(smear), smear.file or smear.name)


def no_width(where: str) -> BadInputError:
    """That a picture shows no red cell to measure the scale by."""
    return BadInputError(
        "no red cell is found to measure the scale by",
        where=where,
        remedy="say how wide a red cell is: --cell-px (make count IMAGES=... CELL_PX=<px>)",
    )
