"""How large a picture shows cells, and where that is known from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blood_kedro.library.core.limits import RED_CELL_UM
from blood_kedro.library.readout.intervals import Result


class Scale(Result):
    """Scale of a smear."""

    cell_px: float = Field(gt=0, description="width of a usual red cell, px: what all cells were looked for at")
    origin: Literal["measured", "given", "metadata"] = Field(
        description="`measured` on the picture, `given` by the user, or from the resolution that the file states"
    )
    confidence: float = Field(ge=0, le=1, description="of that width, 0 to 1; 1 where it was given")
    um_per_px: float | None = Field(None, gt=0, description="micrometres per px; null where nobody knows")
    um_origin: Literal["given", "metadata"] | None = Field(None, description="where that is known from")


def cell_px_at(um_per_px: float) -> float:
    """Width of a normal red cell, px, in a picture of so many micrometres per px."""
    return RED_CELL_UM / um_per_px
