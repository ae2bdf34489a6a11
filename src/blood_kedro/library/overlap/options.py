"""Settings of overlap_weak_supervision."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from blood_kedro.library.training.options import Configured, Training, recipe_in

RuleName = Literal["otsu_area", "relative_area", "neighbour_iou", "concavity", "peaks", "ellipse"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropOptions(_Frozen):
    """Where red cells come from and how they are cut.

    `localizer` is a name of `assembly/localizers.py`: `annotations` takes the source's own boxes, `detector` those of a
    regimen of this project (`model` is its folder), `yolov5n` those of ultralytics (`model` is a file of weights, which
    it unpickles: it must be trusted; an optional extra, for its licence). `localizer_options` are what one alone reads.
    `window: box` resizes the box to a square as Gurav et al. 2025 do; `cells` cuts a square of `window_cells` cell
    diameters around the middle of the box, so that neighbours show and a large cell stays large. `truth`: `simulated`
    from the simulator, `points` where nearly every cell of an image is labelled (Chula), `by_eye` the checked
    boxes of BCCD.
    """

    name: str = ""
    enabled: bool = True
    source: str
    localizer: str = "annotations"
    localizer_options: dict[str, object] = {}
    model: str | None = None
    score_threshold: float = Field(0.5, gt=0, lt=1)
    cell_px: float = Field(gt=5, description="usual diameter of a red cell in px of the images")
    window: Literal["box", "cells"] = "cells"
    window_cells: float = Field(3.0, gt=1)
    side_px: int = Field(64, ge=16)
    truth: Literal["simulated", "points", "by_eye"] | None = None
    max_unlabelled_share: float = Field(1.0, gt=0, le=1, description="images with more unlabelled cells are left out")
    workers: int = Field(0, ge=0)


class Band(_Frozen):
    """Below `single` a rule votes single, above `overlapping` overlapping, between it abstains."""

    single: float
    overlapping: float

    @model_validator(mode="after")
    def _ordered(self) -> Band:
        if self.single > self.overlapping:
            raise ValueError(f"single ({self.single}) must not exceed overlapping ({self.overlapping})")
        return self


class RuleOptions(_Frozen):
    """Thresholds of the labelling functions; each is explained in `rules.py`.

    `otsu_area_px2` None lets Otsu's threshold over the areas of the training crops choose T.
    """

    otsu_area_px2: float | None = Field(None, gt=0)
    relative_area: Band = Band(single=1.3, overlapping=1.6)
    neighbour_iou: Band = Band(single=0.0, overlapping=0.02)
    concavity: Band = Band(single=0.06, overlapping=0.12)
    ellipse: Band = Band(single=0.06, overlapping=0.12)
    combined: tuple[RuleName, ...] = ("relative_area", "neighbour_iou", "concavity", "peaks", "ellipse")


class OverlapRecipe(_Frozen):
    """All that decides what a classifier learns: from what, and how.

    `labels`: a rule, or `combined` (the label model). `network`: `base` and `improved` are those of
    Gurav et al. 2025, `counting` is this project's, which tells 1, 2, 3 and 4 or more cells apart. `sample: paper`
    draws so few crops as the paper had (`sample_size`: all, and of these for testing), by crop and not by image.
    `flips` augments by mirror images, which
    the paper does not.
    """

    crops: str
    labels: RuleName | Literal["combined"] = "combined"
    network: Literal["base", "improved", "counting"] = "counting"
    flips: bool = False
    noise: float = Field(0.0, ge=0, lt=1, description="standard deviation of added noise, of images in 0..1")
    class_weighted: bool = False
    sample: Literal["all", "paper"] = "all"
    sample_size: tuple[int, int] = (38, 10)
    training: Training = Training()
    seed: int = 0


class OverlapClassifier(OverlapRecipe, Configured):
    """A classifier as it is configured: its recipe, and what does not decide what it learns."""

    @property
    def recipe(self) -> OverlapRecipe:
        """What decides the result."""
        return recipe_in(self, OverlapRecipe)
