"""How networks are trained, and where: what decides the result, and what does not, never in one block."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

AnyRecipe = TypeVar("AnyRecipe", bound=BaseModel)


def recipe_in(options: BaseModel, recipe: type[AnyRecipe]) -> AnyRecipe:
    """What decides the result, of options that inherit from `recipe` and have more beside it.

    Its fingerprint is that of the training: a checkpoint is found again by it.
    """
    return recipe.model_construct(**{name: getattr(options, name) for name in recipe.model_fields})


class Compute(BaseModel):
    """Where and how fast a network is trained, and nothing that decides the result.

    On a GPU if there is one, unless `cpu`; `workers` processes prepare what the network sees.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(0, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"


USUAL_COMPUTE = Compute()


class DetectorCompute(Compute):
    """Of a detector, which can be trained by several processes: `devices`, `num_nodes`, `strategy` are Lightning's."""

    devices: int = Field(1, gt=0)
    num_nodes: int = Field(1, gt=0)
    strategy: str = "auto"


class Training(BaseModel):
    """How a network of single cells learns; the settings of Elmanna et al. 2024, section 4.4, are the defaults.

    Adam; after `lr_patience` epochs in which the loss fell by less than `min_delta`, the rate falls tenfold.

    `schedule: cosine` lets it fall to 0 over all epochs instead (Loshchilov and Hutter, ICLR 2017), which makes more of
    a small budget. Training stops after `stop_patience` epochs without any improvement, however small, or after
    `epochs`; the weights of the best epoch are kept. All by the validation loss. `cells_per_epoch` draws so many each
    epoch; None takes all. `precision` changes sums in their last digits, and so belongs here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr: float = Field(4e-4, gt=0)
    schedule: Literal["plateau", "cosine"] = "plateau"
    lr_patience: int = Field(4, gt=0)
    lr_factor: float = Field(0.1, gt=0, lt=1)
    min_delta: float = Field(1e-4, ge=0)
    stop_patience: int = Field(10, gt=0)
    epochs: int = Field(100, gt=0)
    batch_size: int = Field(32, gt=0)
    cells_per_epoch: int | None = Field(None, gt=0)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"


class Configured(BaseModel):
    """What the configuration of a training has beside its recipe, and what decides nothing of what is learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    enabled: bool = True
    resamples: int = Field(2000, ge=0)
    compute: Compute = Compute()
