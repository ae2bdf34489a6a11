"""Settings of the shipped classifiers of single cells: what they see, and how they learn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from blood_kedro.library.shipped.augment import Jitter
from blood_kedro.library.training.first_weights import FirstWeights, possible_for
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS, Backbone, Method
from blood_kedro.library.training.options import Compute

Stain = Literal["as_it_is", "red_cells", "two_stains", "clear_two_stains"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class View(_Frozen):
    """What the network sees of a cell: a square around its middle, at one scale and in one stain."""

    side_px: int = Field(80, ge=32, le=224, description="side of the square as the network sees it")
    cell_px: float = Field(42.2, gt=4, description="width of a usual red cell in that square")
    margin_px: int = Field(16, ge=0, description="kept around the square in training: what turns and shifts bring in")
    beyond: Literal["repeat", "ground"] = Field("repeat", description="what is shown beyond the picture")
    stain: Stain = Field("as_it_is", description="what colours are brought to before the network (stains.py)")


class TypeRecipe(_Frozen):
    """All that decides what a classifier learns. Crops per step times steps is its budget.

    A foundation model stays as it is; `probe` says what is fitted to its features of cells as they are, and steps,
    rates and changes of cells do not matter to it.
    """

    model: Literal["efficientnet_lite0", Backbone] = "efficientnet_lite0"
    model_folder: str | None = Field(None, description="of a foundation model's file; nothing is downloaded")
    probe: Method = "linear"
    first_weights: Annotated[FirstWeights, possible_for("shipped classifier")] = FirstWeights(kind="imagenet")
    view: View = View()
    steps: int = Field(600, ge=1)
    batch: int = Field(64, ge=2)
    lr: float = Field(8e-4, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.05, ge=0, le=1, description="share of the steps")
    smoothing: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    drop_path: float = Field(0.1, ge=0, lt=1)
    ema: float = Field(0.99, ge=0, lt=1)
    frozen_stages: int = Field(2, ge=0, le=7, description="first stages of the network that stay as ImageNet left them")
    balance: float = Field(0.5, ge=0, le=1, description="0 draws cells evenly, 1 draws classes evenly")
    zoom: float = Field(0.05, ge=0, lt=0.5, description="cells are made smaller or larger by up to this share")
    shift: float = Field(0.03, ge=0, lt=0.5, description="cells are moved by up to this share of the square")
    cut_share: float = Field(0.0, ge=0, le=1, description="share of cells beside which the picture ends")
    veil_share: float = Field(0.0, ge=0, le=1, description="share of cells under stray light (stains.veiled)")
    veil: tuple[float, float] = (0.1, 0.5)
    jitter: Jitter = Jitter()
    seed: int = 0

    @model_validator(mode="after")
    def _needs_a_folder(self) -> TypeRecipe:
        if (self.model in FOUNDATION_MODELS) != (self.model_folder is not None):
            raise ValueError(f"{', '.join(FOUNDATION_MODELS)} and no other model need model_folder")
        return self


class TypeCompute(Compute):
    """Where a classifier is trained, and how often a checkpoint and a row of the history are written."""

    checkpoint_every: int = Field(25, ge=1, description="steps")


class TypeModel(_Frozen):
    """One shipped classifier: its classes, how it is taught and judged, and where its cells come from."""

    name: str
    sources: tuple[Literal["chula", "pbc", "bccd"], ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = Field((), description="laboratories to train without, each judged by that training")
    by_cell: bool = Field(False, description="train once more with parts dealt by cell: published figures are of such")
    five: tuple[str, ...] = Field((), description="classes that all laboratories name, for judging one left out")
    recipe: TypeRecipe = TypeRecipe()
    compute: TypeCompute = TypeCompute()
    # Rare classes are drawn oftener than they are found (`recipe.balance`): are they as common where cells are named?
    common: Literal["as_drawn", "as_found"] = "as_drawn"
    views: int = Field(4, ge=1, le=8, description="orientations of each cell that are averaged")
    val_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.2, gt=0, lt=0.5)
    answered_accuracy: float = Field(0.97, gt=0, le=1, description="the threshold is set for this, on validation cells")
    resamples: int = Field(2000, ge=0)
    seed: int = 0
