"""Settings of segmentation, apart from what does it: they are read by every command, which needs no scipy or torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class WatershedOptions(BaseModel):
    """What decides between cell and ground; chosen on eight tiles of smear HS2.

    `cell_px`: usual diameter of a red cell. `level`: where between the light of the ground (0) and Otsu's threshold (1)
    a pixel becomes cell. `unsharp`: how much detail is added before, which keeps thin gaps between cells open.
    `hole_share`: holes of up to this share of a cell, as compact as `hole_solidity`, are pallor and filled; others are
    gaps between cells. `completed_share`: a pale cell whose rim is open is left as a crescent; it is completed to its
    convex hull where that is no larger than so many cells and hardly anybody else's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_px: float = Field(36.0, gt=4)
    level: float = Field(0.85, gt=0, le=1.5)
    unsharp: float = Field(1.5, ge=0)
    hole_share: float = Field(0.4, ge=0, le=1)
    hole_solidity: float = Field(0.95, ge=0, le=1)
    completed_share: float = Field(1.3, ge=0)
    mended_solidity: float = Field(0.95, ge=0, le=1)
    mended_share: float = Field(1.5, ge=0)
    opening: float = Field(3.0, ge=0, description="radius of the opening, in 36ths of a cell")


class FilterOptions(BaseModel):
    """Areas in single red cells.

    A mask that the border of its tile cuts may be as small as `min_border`: it will be joined.

    `same_iou`: two masks that share more are one cell. `inside_share`: a mask lies in another with so much of itself.
    A mask that holds two or more others, which cover `explained_share` of it, is a clump of them and is dropped; one
    that lies in a single cell is a part of it and is dropped. `min_stain`: green absorbance below which a mask is
    enclosed background.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_area: float = Field(0.245, ge=0)
    max_area: float = Field(8.85, gt=0)
    min_border: float = Field(0.039, ge=0)
    same_iou: float = Field(0.7, gt=0, le=1)
    inside_share: float = Field(0.8, gt=0, le=1)
    explained_share: float = Field(0.6, gt=0, le=1)
    min_stain: float = Field(0.04, ge=0)


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
