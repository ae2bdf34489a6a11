"""How cells are cut out of a source."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CellOptions(BaseModel):
    """Cells of one source.

    `crop_px` is the side of the square in the source's own images; None takes what a source of crops gives. `cell_px`
    is the usual diameter of a red cell there, for segmentation. `reader: fields` cuts windows of whole fields, not
    single cells, from Ojaghi's tiles (`counting/segment/fields.py`). `per_class` draws at most so many of a class.
    `slides` and `shapes` only matter to the simulator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    enabled: bool = True
    reader: Literal["elsafty", "points", "ojaghi", "fields", "synthetic"]
    crop_px: int | None = Field(None, gt=7)
    cell_px: float | None = Field(None, gt=0)
    per_class: int | None = Field(None, gt=0)
    slides: int = Field(25, gt=0)
    shapes: Literal["eight", "nine"] = "eight"
    workers: int = Field(-1, description="processes that read; -1 takes every core")

    @model_validator(mode="after")
    def _windows_have_no_class(self) -> CellOptions:
        if self.reader == "fields" and self.per_class is not None:
            raise ValueError("reader: fields cuts windows that have no class, so per_class must be null")
        return self
