"""Settings of single-cell segmentation and classification (Elmanna et al. 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from blood_kedro.library.morphology.backbones import CLASSIFIER_BACKBONES
from blood_kedro.library.training.first_weights import FirstWeights, possible_for
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS, Method
from blood_kedro.library.training.options import Configured, Training, recipe_in


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmenterRecipe(_Frozen):
    """All that decides what a U-Net learns (section 4.2).

    60/20/20 of the groups, or the groups, slides or images named by `test_groups` to test on. `encoder: classic` is the
    plain U-Net that Elmanna et al. 2024 describe; others are those of segmentation-models-pytorch.
    """

    source: str
    encoder: str = "resnet18"
    first_weights: Annotated[FirstWeights, possible_for("cell segmenter")] = FirstWeights()
    val_share: float = Field(0.2, gt=0, lt=1)
    test_share: float = Field(0.2, gt=0, lt=1)
    test_groups: tuple[str, ...] = ()
    training: Training = Training()
    seed: int = 0


class Segmenter(SegmenterRecipe, Configured):
    """A U-Net as it is configured: its recipe, and what does not decide what it learns."""

    @property
    def recipe(self) -> SegmenterRecipe:
        """What decides the result."""
        return recipe_in(self, SegmenterRecipe)


class ClassifierRecipe(_Frozen):
    """All that decides the runs of one variant: model, loss, input, and how it is cross-validated (4.3 and 5.2).

    `view`: `elmanna_2024` are its eight shapes, `nine` those of its published data, `taxonomy` this project's classes.
    `segmented` blackens what is not the cell: by the masks that the source gives, and where it gives none by those that
    `masks_from`, a segmenter, finds; `masks: predicted` takes the segmenter's for every cell. Then both stages are
    tested on the same slides. `stain` brings all slides to the colours of one. `augmented` cells are shown instead of
    the originals, or added to them. `split_by`: `group` keeps slides (or images that show the same field) whole, `cell`
    does not, as some published figures do; `scanner` tests on each scanner in turn after training on the others.
    `test_groups` names the groups, slides or images to test on; without it, it is `test_share` of the groups, or what
    the segmenter of `masks_from` was tested on. `reddino_small` and `dinobloom_s` are foundation models: their features
    stay as they are, and `probe` says what is fitted to them; `training` and `rotation_deg` do not matter to these.
    """

    source: str
    view: Literal["elmanna_2024", "nine", "taxonomy"] = "elmanna_2024"
    model: str = Field("efficientnet_b0", description="a name of backbones.py")
    first_weights: Annotated[FirstWeights, possible_for("cell classifier")] = FirstWeights()
    probe: Method = "linear"
    loss: Literal["unweighted", "class_weighted"] = "unweighted"
    segmented: bool = True
    masks_from: str | None = Field(None, description="segmenter that finds the masks which a source does not give")
    masks: Literal["given", "predicted"] = "given"
    stain: Literal["none", "reinhard", "macenko"] = "none"
    rotation_deg: float = Field(36.0, ge=0, le=180)
    augmented: Literal["instead", "added"] = "instead"
    split_by: Literal["group", "cell", "scanner"] = "group"
    test_share: float = Field(0.2, gt=0, lt=1)
    test_groups: tuple[str, ...] = ()
    repeats: int = Field(5, gt=0)
    folds: int = Field(2, gt=1)
    min_cells: int = Field(10, gt=0, description="classes with fewer cells are left out")
    training: Training = Training()
    seed: int = 0

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in CLASSIFIER_BACKBONES:
            raise ValueError(f"there is no {model}: one of {', '.join(CLASSIFIER_BACKBONES)}")
        return model

    @model_validator(mode="after")
    def _fits_together(self) -> ClassifierRecipe:
        if self.masks == "predicted" and not (self.segmented and self.masks_from):
            raise ValueError("masks: predicted needs segmented: true, and masks_from to name a segmenter")
        if (self.model in FOUNDATION_MODELS) != (self.first_weights.kind == "foundation"):
            raise ValueError(
                f"{', '.join(FOUNDATION_MODELS)} and no other model take "
                "first_weights: {kind: foundation, path: <folder>}"
            )
        if self.split_by == "scanner" and self.test_groups:
            raise ValueError("split_by: scanner tests on each scanner in turn, so test_groups must be empty")
        return self


class Classifier(ClassifierRecipe, Configured):
    """A variant of the comparison as it is configured: its recipe, and what does not decide the result of a run.

    `runs` limits how many of the `repeats` x `folds` are trained.
    """

    runs: int | None = Field(None, gt=0)

    @property
    def recipe(self) -> ClassifierRecipe:
        """What decides the result of a run."""
        return recipe_in(self, ClassifierRecipe)
