"""Settings of SAM; apart from `sam.py`, so that they can be read without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SamOptions(BaseModel):
    """Which model, and what is asked of a mask. Defaults are those that the masks of Rao et al. 2024 were made with.

    `checkpoint`: a folder of `save_pretrained`, or the name of a model on the hub or in its cache; `download` allows
    reaching the hub. `points_per_side` squared points are asked, `points_per_batch` at once. A mask is kept if the
    model predicts an IoU of `pred_iou_thresh` and it changes little with the threshold (`stability_score_thresh`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: str = "facebook/sam-vit-huge"
    download: bool = False
    points_per_side: int = Field(32, gt=0)
    points_per_batch: int = Field(64, gt=0)
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = Field(0.7, gt=0, le=1)
    half_precision: bool = True
