"""Settings of the shipped cell detector: the pictures that it learns from, and how."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from blood_kedro.library.core.taxonomy import COARSE
from blood_kedro.library.shipped.augment import Jitter
from blood_kedro.library.training.first_weights import FirstWeights, possible_for
from blood_kedro.library.training.options import Compute

CLASSES = COARSE
# The network's maps are smaller than its pictures by this; sides of pictures are padded to a multiple of that.
STRIDE, MULTIPLE = 4, 32
# What a box side is measured in, px: the half width of a usual red cell, so that an untrained network starts there.
BASE_PX = 16.0


class PictureOptions(BaseModel):
    """Labelled pictures of several laboratories at one width of a red cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_px: float = Field(32, ge=16, le=64, description="width of a usual red cell in the pictures that networks see")
    # Pictures of TXL-PBC come from three laboratories that their size tells apart (docs/facts/data.md#txl-pbc).
    txl_laboratories: dict[str, str] = {
        "640x480": "bccd",
        "416x416": "bccd",
        "360x363": "pbc",
        "366x369": "pbc",
        "575x575": "raabin",
    }
    # Squares of 416 px are 640x480 pictures squeezed to a square: learnt from, never judged by.
    squeezed: tuple[str, ...] = ("416x416",)
    chula_cell_px: float = 38
    chula_class_size_px: dict[str, float] = {}
    chula_min_points: int = Field(30, ge=1, description="a Chula field with fewer labelled cells says little")
    chula_complete: float = Field(0.15, description="judged by: fields with at most this share of cells unlabelled")


class CellRecipe(BaseModel):
    """All that decides what the cell detector learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_weights: Annotated[FirstWeights, possible_for("shipped detector")] = FirstWeights(kind="imagenet")
    channels: int = Field(64, ge=8)
    frozen_stages: int = Field(2, ge=0, le=7, description="first stages of the backbone that stay as they are")
    window_px: int = Field(224, ge=64, multiple_of=32)
    batch: int = Field(2, ge=1)
    steps: int = Field(500, ge=1)
    lr: float = Field(8e-4, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    warmup: float = Field(0.06, ge=0, le=1, description="share of the steps")
    box_weight: float = Field(5, gt=0, description="of the loss of boxes, beside that of middles")
    # White cells and platelets are one label in twenty; unweighted, red cells decide nearly all of what is learnt.
    class_weights: tuple[float, float, float] = (1, 4, 3)
    clip: float = Field(5, gt=0)
    ema: float = Field(0.99, ge=0, lt=1)
    zoom: float = Field(0.25, ge=0, lt=1, description="pictures are made smaller or larger by up to this factor")
    jitter: Jitter | None = Jitter()
    # How often windows are taken from each laboratory, relative to each other.
    laboratories: dict[str, float] = {"bccd": 1.0, "pbc": 1.0, "raabin": 1.0, "chula": 1.0, "ojaghi": 0.7}
    seed: int = 0


class CellCompute(Compute):
    """Where the cell detector is trained, and how often a checkpoint and a row of the history are written."""

    checkpoint_every: int = Field(50, ge=1, description="steps")


class CellTraining(BaseModel):
    """One training: laboratories that it leaves out and is judged by, and what it changes of the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    left_out: tuple[str, ...] = ()
    changes: dict[str, Any] = {}

    def recipe_of(self, common: CellRecipe) -> CellRecipe:
        """The recipe of this training."""
        return CellRecipe.model_validate({**common.model_dump(), **self.changes})


class CellJudging(BaseModel):
    """How the cell detector is judged. Of every laboratory that it learns from, two parts are kept from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration_share: float = Field(0.1, gt=0, lt=0.5, description="groups on which thresholds of counts are chosen")
    test_share: float = Field(0.15, gt=0, lt=0.5, description="groups that say how good the model is at home")
    limit: int = Field(150, ge=1, description="pictures of each laboratory, chosen by chance, the same for every model")
    draws: int = Field(2000, ge=0, description="bootstrap over groups")
    seed: int = 0
