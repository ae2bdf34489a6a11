"""Where the weights of a network come from before its first step: one vocabulary for every network of this project."""

from __future__ import annotations

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.training.weight_kinds import Kind, Network, refuse_impossible

_TAKES: dict[str, tuple[Kind, ...]] = {
    "path": ("imagenet", "coco", "checkpoint", "foundation"),
    "model": ("checkpoint",),
    "run": ("run",),
    "trainable_layers": ("imagenet", "coco", "checkpoint", "run", "simulated"),
}


class FirstWeights(BaseModel):
    """First weights, which are what `kind` says or an error: nothing falls back to random ones.

    `random`: none. `imagenet`: the body of the network; those of EfficientNet-Lite0 come with an installed package,
    others are downloaded, or are the file `path`. `coco`: torchvision's COCO_V1 detector, downloaded or the file
    `path`. `checkpoint`: a model of this project, the folder `path` (safetensors), or another entry `model` of the same
    section, which is trained first. `run`: the model that the MLflow run `run` logged. `simulated`: a short
    pre-training on generated smears, done in the same run; it is not COCO and is never called so. `foundation`: a
    foundation model's file in the folder `path`, whose features stay as they are. `weight_kinds.POSSIBLE` says which
    network can have which.

    `trainable_layers`: so many of the last stages of a ResNet learn and the others stay as they came (torchvision's
    `trainable_backbone_layers`, whose default for COCO weights is 3 of 5); None lets all learn. Detectors alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "random"
    path: str | None = None
    model: str | None = None
    run: str | None = None
    trainable_layers: int | None = Field(None, ge=0, le=5)

    @model_validator(mode="after")
    def _one_place(self) -> FirstWeights:
        for name, kinds in _TAKES.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ValueError(
                    f"first_weights.{name} is for kind {' or '.join(kinds)}, and kind is {self.kind}: leave it out"
                )
        if self.kind == "checkpoint" and bool(self.path) == bool(self.model):
            raise ValueError(
                "first_weights.kind is checkpoint, so either first_weights.path must name a model folder, or "
                "first_weights.model another entry that is trained here"
            )
        if self.kind == "run" and not self.run:
            raise ValueError("first_weights.kind is run: first_weights.run must be the id of a run that logged a model")
        if self.kind == "foundation" and not self.path:
            raise ValueError(
                "first_weights.kind is foundation: first_weights.path must name the folder of the foundation model's "
                "file"
            )
        return self


def possible_for(network: Network) -> AfterValidator:
    """The metadata of a field of options, `Annotated[FirstWeights, ...]`, that refuses what a network cannot have."""

    def check(weights: FirstWeights) -> FirstWeights:
        try:
            refuse_impossible(weights.kind, network)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        other = "path" if network == "cutout classifier" else "model"
        if weights.kind == "checkpoint" and getattr(weights, other) is not None:
            right = "model" if other == "path" else "path"
            raise ValueError(f"a {network} starts from the checkpoint that first_weights.{right} names, not {other}")
        if weights.trainable_layers is not None and network != "detector":
            raise ValueError(f"first_weights.trainable_layers is for a detector, not for a {network}: leave it out")
        return weights

    return AfterValidator(check)
