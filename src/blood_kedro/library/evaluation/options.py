"""How detectors are scored: shared by all regimens, so that none is judged differently."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Evaluation(BaseModel):
    """The part that is scored, and how.

    `split`: validation images while choices are made, test images when all are. `resamples` of a bootstrap over groups
    give the intervals; 0 gives none. `score_threshold` is the operating point of counts and kinds of error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["val", "test"] = "val"
    resamples: int = Field(2000, ge=0)
    score_threshold: float = Field(0.5, ge=0, le=1)
