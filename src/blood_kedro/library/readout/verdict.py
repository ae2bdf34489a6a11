"""Whether a smear is fit for counting, with every reason why it is not, in words that somebody can act on."""

from __future__ import annotations

import math

from pydantic import Field

from blood_kedro.library.core.limits import LEAST_RED_CELLS, LEAST_SCALE_CONFIDENCE, MOST_OVERLAPPING
from blood_kedro.library.readout.intervals import Result
from blood_kedro.library.readout.scale import Scale
from blood_kedro.library.readout.stain import StainLikeness

FIT = "fit for counting"


class Verdict(Result):
    """Whether the numbers of a smear may be used."""

    fit: bool = Field(description="whether there is no reason against it")
    line: str = Field(description="in a few words")
    reasons: tuple[str, ...] = Field(description="all reasons against it; empty where it is fit")


def verdict(
    *,
    red_cells: int,
    overlap_ratio: float,
    tiles: int,
    failed_tiles: int,
    scale: Scale,
    stain: StainLikeness | None,
    most_overlapping: float = MOST_OVERLAPPING,
) -> Verdict:
    """The verdict on one smear.

    Args:
        red_cells: counted.
        overlap_ratio: overlapping red cells for each single one.
        tiles: of the smear.
        failed_tiles: those that could not be read.
        scale: of the smear.
        stain: how like its stain is to what the models learnt from; None where nobody looked.
        most_overlapping: the limit of `overlap_ratio`.
    """
    reasons = []
    if red_cells < LEAST_RED_CELLS:
        reasons.append(
            f"too few cells: {red_cells} red cells, at least {LEAST_RED_CELLS} are needed; take fuller fields"
        )
    if overlap_ratio > most_overlapping:
        reasons.append(
            f"too crowded: {overlap_ratio:.2f} overlapping red cells for each single one, limit "
            f"{most_overlapping:.2f}; take a field nearer to the feathered edge"
        )
    if math.isnan(scale.confidence) or scale.confidence < LEAST_SCALE_CONFIDENCE:
        reasons.append(
            f"scale unsure: red cells seem {scale.cell_px:.0f} px wide, with a confidence of {scale.confidence:.2f} "
            f"(at least {LEAST_SCALE_CONFIDENCE}); measure one and give its width"
        )
    if stain is not None and not stain.like:
        reasons.append(stain.reason)
    if failed_tiles:
        reasons.append(f"{failed_tiles} of {tiles} tiles could not be read: their cells are missing; see the rejects")
    line = FIT if not reasons else f"not {FIT}: " + ", ".join(reason.split(":")[0] for reason in reasons)
    return Verdict(fit=not reasons, line=line, reasons=tuple(reasons))
