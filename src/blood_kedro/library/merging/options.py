"""Settings of merging."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DuplicateOptions(BaseModel):
    """When two images count as the same field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash_distance: int = Field(4, ge=0, description="perceptual hashes at most this many bits apart")
    turned_similarity: float = Field(
        0.9, gt=0, le=1, description="correlation of whole pictures in any of eight orientations"
    )
    min_similarity: float = Field(0.8, gt=0, le=1, description="correlation of the overlapping parts")
    min_overlap: float = Field(0.1, gt=0, le=1, description="share of the frame that overlaps")
    background_tolerance: float = Field(15, gt=0, description="background colours may differ by this many levels")
    exhaustive_limit: int = Field(1000, ge=0, description="search small overlaps too in sources up to this size")
    merge_identical: bool = Field(True, description="pixel-identical images become one; Algorithm 2 keeps them all")
    same_point_px: float = Field(15, ge=0, description="labels of identical images closer than this are one cell")


class PartOptions(BaseModel):
    """Shares of the images that crops, cutouts and counts are chosen by and judged on.

    What the split of the corpus holds out for detectors (`val_fraction`, `test_fraction`) is in `test`, too: a field
    that a detector did not learn from is one that nothing else learns from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    val: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.25, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_something(self) -> PartOptions:
        if self.val + self.test >= 1:
            raise ValueError(f"val ({self.val}) and test ({self.test}) leave nothing to train on")
        return self


class MergingOptions(BaseModel):
    """Algorithm 2 of Sahay 2025, duplicates and the split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    view: Literal["full", "sahay_2025"] = "sahay_2025"
    min_class_count: int = Field(3, ge=0, description="classes with fewer labelled cells are removed")
    split: Literal["grouped", "paper", "official"] = "grouped"
    val_fraction: float = Field(0.1, gt=0, lt=1)
    test_fraction: float = Field(0.0, ge=0, lt=1)
    parts: PartOptions = PartOptions()
    duplicates: DuplicateOptions = DuplicateOptions()
