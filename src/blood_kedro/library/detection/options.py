"""A regimen: everything that decides how one detector is trained. Plain data, no Kedro, no MLflow."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Initialization(_Frozen):
    """Where the first weights come from.

    `random`: none. `coco`: torchvision's COCO_V1 detector, or the file `path` (a torchvision state dict).
    `checkpoint`: a model bundle folder at `path` (safetensors) of this project. `generated_smears`: a short
    pre-training on simulated smears, done in the same run; it is not COCO and is never called so.
    """

    kind: Literal["random", "coco", "checkpoint", "generated_smears"] = "random"
    path: str | None = None

    @model_validator(mode="after")
    def _needs_path(self) -> Initialization:
        if self.kind == "checkpoint" and not self.path:
            raise ValueError("initialization.kind is checkpoint, so initialization.path must name a model folder")
        return self


class Network(_Frozen):
    """Faster R-CNN. `input_px` is the side to which the 512 px canvas is resized inside the network.

    `norm`: `batch` is torchvision's for random weights, `frozen_batch` its choice for pre-trained ones; `group` (8
    groups) is what training from scratch with few images per batch needs (He et al. 2019, Rethinking ImageNet
    pre-training, section 3.1). The defaults of the last four are torchvision's; smaller ones make a CPU run feasible.
    """

    backbone: Literal["resnet50_fpn", "resnet18_fpn", "mobilenet_v3_fpn"] = "resnet50_fpn"
    norm: Literal["batch", "frozen_batch", "group"] = "batch"
    input_px: int = Field(512, ge=64)
    anchor_sizes_px: tuple[int, ...] | None = None
    proposals_train: int = Field(2000, gt=0)
    proposals_test: int = Field(1000, gt=0)
    roi_samples: int = Field(512, gt=0)
    representation: int = Field(1024, gt=0)
    detections_per_image: int = Field(100, gt=0)


class Optimizer(_Frozen):
    """SGD with StepLR, as in paper 000, section III-E. `clip_norm` None leaves gradients as they are."""

    lr: float = Field(0.005, gt=0)
    momentum: float = 0.9
    weight_decay: float = 0.0005
    step_epochs: int = Field(7, gt=0)
    gamma: float = 0.1
    warmup_steps: int = Field(0, ge=0, description="linear warm-up; the paper has none")
    clip_norm: float | None = None


class CopyPaste(_Frozen):
    """Cells of named classes pasted into training images (paper 000, section V, asks for augmentation of rare classes).

    `source`: `real` cuts them from the training images, `simulated` draws them, `both` does both. `per_image` is the
    mean number pasted into an image; at most `max_cover` of any cell is covered.
    """

    classes: tuple[str, ...] = Field(min_length=1)
    source: Literal["real", "simulated", "both"] = "both"
    per_image: float = Field(2.0, gt=0)
    cutouts_per_class: int = Field(150, gt=0)
    max_cover: float = Field(0.15, ge=0, le=1)


class Regimen(_Frozen):
    """One training recipe. `normalization` is applied once, inside the network.

    `sampler`: `repeat_factor` shows images with rare classes more often (Gupta et al., LVIS, CVPR 2019). `head_loss`:
    `focal` (Lin et al., ICCV 2017, exponent 2) or `class_balanced` (Cui et al., CVPR 2019, beta 0.999).
    `ignore_regions` and `label_space` are explained in `partial_labels.py`; off and `merged` are plain Faster R-CNN.
    """

    name: str = ""
    enabled: bool = True
    initialization: Initialization = Initialization()
    augmentation: Literal["paper_r1", "paper_r2", "none"] = "none"
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
    workers: int = Field(0, ge=0)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(1, gt=0)
    seed: int = 0


class Pretraining(_Frozen):
    """The short pre-training on simulated smears that `initialization: generated_smears` uses.

    `smears` are options of the simulator; images come from another seed than the `synthetic` source's.
    """

    smears: dict[str, object]
    regimen: Regimen
