"""A regimen: the recipe that decides how one detector is trained, and where. Plain data, no Kedro, no MLflow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.detection.backbones import DETECTOR_BACKBONES
from blood_kedro.library.detection.transforms import named
from blood_kedro.library.training.first_weights import FirstWeights, possible_for
from blood_kedro.library.training.options import DetectorCompute, recipe_in


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(_Frozen):
    """Faster R-CNN. `input_px` is the side to which the 512 px canvas is resized inside the network.

    `norm`: `batch` is torchvision's for random weights, `frozen_batch` its choice for pre-trained ones; `group` (8
    groups) is what training from scratch with few images per batch needs (He et al. 2019, Rethinking ImageNet
    pre-training, section 3.1). Random weights with `frozen_batch` have no normalisation at all. The defaults of the
    last six are torchvision's; smaller ones make a CPU run feasible. `anchors: fitted` takes shapes from the training
    boxes (`anchors.py`); `anchor_sizes_px` are the default's sizes.
    """

    backbone: str = Field("resnet50_fpn", description="a name of backbones.py")
    norm: Literal["batch", "frozen_batch", "group"] = "batch"
    input_px: int = Field(512, ge=64)
    anchors: Literal["default", "fitted"] = "default"
    anchor_sizes_px: tuple[int, ...] | None = None
    proposals_train: int = Field(2000, gt=0)
    proposals_test: int = Field(1000, gt=0)
    roi_samples: int = Field(512, gt=0)
    representation: int = Field(1024, gt=0)
    fpn_channels: int = Field(256, gt=0)
    detections_per_image: int = Field(100, gt=0)

    @model_validator(mode="after")
    def _pyramid(self) -> Network:
        if self.backbone not in DETECTOR_BACKBONES:
            raise ValueError(f"there is no backbone {self.backbone}: one of {', '.join(DETECTOR_BACKBONES)}")
        backbone = DETECTOR_BACKBONES[self.backbone]
        if backbone.channels not in (None, self.fpn_channels):
            raise ValueError(f"fpn_channels is fixed at {backbone.channels} in {self.backbone}")
        if self.norm not in backbone.norms:
            raise ValueError(f"{self.backbone} has batch norm: choose norm {' or '.join(backbone.norms)}")
        return self


class Optimizer(_Frozen):
    """SGD with StepLR, as in Sahay 2025, section III-E. `clip_norm` None leaves gradients as they are.

    `schedule: cosine` lets the rate fall to 0 over all epochs instead (Loshchilov and Hutter, ICLR 2017).
    """

    lr: float = Field(0.005, gt=0)
    momentum: float = 0.9
    weight_decay: float = 0.0005
    schedule: Literal["step", "cosine"] = "step"
    step_epochs: int = Field(7, gt=0)
    gamma: float = 0.1
    warmup_steps: int = Field(0, ge=0, description="linear warm-up; the paper has none")
    clip_norm: float | None = None


class CopyPaste(_Frozen):
    """Cells of named classes pasted into training images: section V of Sahay 2025 wants rare classes augmented.

    `source`: `real` cuts them from the training images, `simulated` draws them, `both` does both. `per_image` is the
    mean number pasted into an image; at most `max_cover` of any cell is covered.
    """

    classes: tuple[str, ...] = Field(min_length=1)
    source: Literal["real", "simulated", "both"] = "both"
    per_image: float = Field(2.0, gt=0)
    cutouts_per_class: int = Field(150, gt=0)
    max_cover: float = Field(0.15, ge=0, le=1)


class Recipe(_Frozen):
    """All that decides how good a detector becomes, and nothing else: its fingerprint is that of the training.

    `normalization` is applied once, inside the network. `sampler`: `repeat_factor` shows images with rare classes more
    often (Gupta et al., LVIS, CVPR 2019). `head_loss`: `focal` (Lin et al., ICCV 2017, exponent 2) or `class_balanced`
    (Cui et al., CVPR 2019, beta 0.999). `ignore_regions` and `label_space` are explained in `partial_labels.py`; off
    and `merged` are plain Faster R-CNN. `augmentation` is a name of `transforms.PAPER` or a list of transforms.
    `leave_out` names a source that is not trained on: its row of the metrics by source is then a test on a source
    never seen. `map_every` puts AP50 on the validation images into every so many epochs of the history. `batch_size`
    is of all devices together. `precision`, `channels_last` and `compile` belong here, not to the compute: they change
    sums in their last digits, and so the weights.
    """

    name: str = ""
    first_weights: Annotated[FirstWeights, possible_for("detector")] = FirstWeights()
    leave_out: str | None = None
    augmentation: str | tuple[str, ...] = "none"
    copy_paste: CopyPaste | None = None
    sampler: Literal["uniform", "repeat_factor"] = "uniform"
    head_loss: Literal["cross_entropy", "focal", "class_balanced"] = "cross_entropy"
    ignore_regions: bool = Field(False, description="visible cells without a label are no negatives")
    label_space: Literal["merged", "source_aware"] = "merged"
    normalization: Literal["imagenet", "training_set"] = "imagenet"
    network: Network = Network()
    optimizer: Optimizer = Optimizer()
    epochs: int = Field(25, gt=0)
    batch_size: int = Field(4, gt=0)
    images_per_epoch: int | None = Field(None, gt=0, description="draw this many images an epoch; None takes all")
    val_loss_images: int | None = Field(None, gt=0, description="validation loss on the first N drawn; None takes all")
    map_every: int | None = Field(None, gt=0)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    channels_last: bool = False
    compile: bool = Field(False, description="torch.compile the backbone")
    seed: int = 0

    @field_validator("augmentation")
    @classmethod
    def _known(cls, names: str | tuple[str, ...]) -> str | tuple[str, ...]:
        try:
            named(names)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return names

    @model_validator(mode="after")
    def _has_stages(self) -> Recipe:
        if self.first_weights.trainable_layers is not None and not self.network.backbone.startswith("resnet"):
            raise ValueError(
                f"first_weights.trainable_layers counts stages of a ResNet, and network.backbone is "
                f"{self.network.backbone}: leave it null"
            )
        return self


class Regimen(Recipe):
    """A training as it is configured: a recipe, and what does not decide the result beside it.

    `trained_in` is a folder that `scripts/train_detector.py` filled on another machine: its result is taken over
    instead of training here.
    """

    enabled: bool = True
    repeats: str = Field("", description="the regimen that this one repeats with another seed or value")
    compute: DetectorCompute = DetectorCompute()
    trained_in: str | None = None

    @property
    def recipe(self) -> Recipe:
        """What decides the result."""
        return recipe_in(self, Recipe)

    @model_validator(mode="after")
    def _divides(self) -> Regimen:
        processes = self.compute.devices * self.compute.num_nodes
        if self.batch_size % processes:
            raise ValueError(
                f"batch_size {self.batch_size} is of all devices together: make it a multiple of {processes} "
                f"(devices {self.compute.devices} x num_nodes {self.compute.num_nodes})"
            )
        return self


class Pretraining(_Frozen):
    """The short pre-training on simulated smears that `first_weights: {kind: simulated}` uses.

    `smears` are options of the simulator; images come from another seed than the `synthetic` source's.
    """

    smears: dict[str, object]
    regimen: Regimen


class OwnImages(_Frozen):
    """What a user wants to have looked at.

    `input` is an image or a folder of images, `regimen` the name of the trained detector, or `shipped` for the one that
    comes with the project. Cells below `score_threshold` are left out; None takes the shipped model's own thresholds,
    and 0.5 for a trained one. `cell_px` is the width of a red cell in the images, for the shipped model; None finds it
    from each. A trained one sees an image with a side above `tiled_above_px` in overlapping tiles of `tile_px`: cells
    should take the share of a tile that they take of a training image.
    """

    input: str | None = None
    regimen: str = "shipped"
    score_threshold: float | None = Field(None, ge=0, le=1)
    cell_px: float | None = Field(None, gt=0)
    tile_px: int = Field(640, gt=31)
    tiled_above_px: int = Field(2000, gt=31)

    def least_score(self) -> float:
        """Of a trained detector's cells."""
        return 0.5 if self.score_threshold is None else self.score_threshold
