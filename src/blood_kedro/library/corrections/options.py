"""Settings of a retraining."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RetrainOptions(BaseModel):
    """How a shipped classifier learns from corrections, and how it is judged on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hold: float = Field(1.0, gt=0, description="how dear it is for weights of the last layer to move from the old ones")
    folds: int = Field(5, ge=2, le=20, description="parts, each held out once; fewer where there are fewer groups")
    least_cells: int = Field(20, ge=2, description="corrected or confirmed cells below which nothing is learnt")
    resamples: int = Field(2000, ge=0, description="draws of groups behind each interval")
    seed: int = 0
