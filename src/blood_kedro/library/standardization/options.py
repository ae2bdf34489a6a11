"""Settings of standardization."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SourceBoxes(BaseModel):
    """How boxes are made for one source, sizes in px of its original images.

    `class_size_px` is the box width where a source gives points or image-level labels: the size that Sahay 2025
    calls class-specific, and the fallback of a fit that fails. `cell_px` is the usual red-cell diameter, which
    scales the segmentation: filled in from `sources.<name>.cell_px`. None means that no cell of this source can be
    unlabelled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_size_px: dict[str, float] = {}
    cell_px: float | None = None


class StandardizationOptions(BaseModel):
    """Algorithm 1 of Sahay 2025 (`boxes: paper`), or the same canvas with measured boxes (`boxes: fitted`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_px: int = Field(512, ge=32)
    boxes: Literal["paper", "fitted"] = "fitted"
    jitter_px: float = Field(20, ge=0, description="paper mode, image-level labels: largest offset, canvas px")
    workers: int = Field(0, ge=0, description="0 takes every core")
    sources: dict[str, SourceBoxes] = {}
