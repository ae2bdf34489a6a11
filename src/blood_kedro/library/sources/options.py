"""One entry under `sources` in the parameters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from blood_kedro.library.core.taxonomy import PARENT


class SourceOptions(BaseModel):
    """A source and how it is read.

    `adapter` names a published source, or a format: `coco`, `voc`, `yolo`, `folders` (of single cells). For a format,
    `labels` maps the set's own labels (names, or numbers where it has no names) to classes of the taxonomy, and
    `labelled` says which classes the set labels wherever they show (default: those that it has labels of); what it does
    not label counts for nothing where a regimen is `source_aware`. `annotations` and `images` are paths below the
    source's folder, for sets that do not keep to the usual names. `limit` reads only the first images. `merge_twins`:
    boxes of one class that are nearly the same are one cell, labelled twice. `cell_px` is read by all that
    measures or cuts its images (`plan/cell_px.py`); with it, cells that nobody labelled are found, unless
    `all_cells_labelled`. `wbc_types`: in BCCD, a file below the
    source's folder that types its white cells (`sources/bccd.py`). `smears` are options of the simulator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="filled in: the key of the entry")
    enabled: bool = True
    adapter: str
    limit: int | None = Field(None, gt=0)
    cell_px: float | None = Field(None, gt=4, description="usual diameter of a red cell in px of its images")
    all_cells_labelled: bool = Field(False, description="no cell is looked for that nobody labelled")
    labels: dict[str, str] = {}
    labelled: tuple[str, ...] | None = None
    annotations: str | None = None
    images: str | None = None
    licence: str = "not stated"
    merge_twins: bool = True
    wbc_types: str | None = None
    smears: dict[str, Any] | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, labels: dict[Any, str]) -> dict[str, str]:
        """YAML reads `0: rbc` with a number for a key."""
        return {str(name): label for name, label in (labels or {}).items()}

    @field_validator("labels", "labelled")
    @classmethod
    def _known(cls, value: Any) -> Any:  # noqa: ANN401 - a mapping or a tuple
        classes = value.values() if isinstance(value, dict) else value or ()
        strangers = sorted({label for label in classes if label not in PARENT})
        if strangers:
            raise ValueError(f"no such class: {', '.join(strangers)}; expected some of {', '.join(PARENT)}")
        return value

    @model_validator(mode="after")
    def _types_are_of_bccd(self) -> SourceOptions:
        if self.wbc_types is not None and self.adapter != "bccd":
            raise ValueError(f"wbc_types is for adapter bccd, got adapter {self.adapter}")
        return self

    def labelled_classes(self) -> tuple[str, ...]:
        """Classes that a set in one of the formats labels wherever they show."""
        return self.labelled if self.labelled is not None else tuple(sorted(set(self.labels.values())))
