"""How cells are cut out of a source."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CellOptions(BaseModel):
    """Cells of one source.

    `crop_px` is the side of the square in the source's own images; None takes what a source of crops gives. `cell_px`
    is the usual diameter of a red cell there, for segmentation. `reader` is a name of `assembly/crop_readers.py`;
    `fields` cuts windows of whole fields, not single cells, from Ojaghi's tiles (`library/counting/segment/fields.py`).
    `reader_options` are what one reader alone reads. `per_class` draws at most so many of a class. `slides` and
    `shapes` only matter to the simulator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    enabled: bool = True
    reader: str
    reader_options: dict[str, object] = {}
    crop_px: int | None = Field(None, gt=7)
    cell_px: float | None = Field(None, gt=0)
    per_class: int | None = Field(None, gt=0)
    slides: int = Field(25, gt=0)
    shapes: Literal["eight", "nine"] = "eight"
    workers: int = Field(-1, description="processes that read; -1 takes every core")
