"""How a network of single cells is trained: the settings of paper 003, section 4.4, are the defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Hardware(BaseModel):
    """Where a network is trained: on a GPU if there is one, unless `cpu`; `workers` processes prepare what it sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(0, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"


ANY_HARDWARE = Hardware()


class Compute(Hardware):
    """Where and how fast a detector is trained, and nothing that decides the result.

    `devices`, `num_nodes` and `strategy` are Lightning's.
    """

    devices: int = Field(1, gt=0)
    num_nodes: int = Field(1, gt=0)
    strategy: str = "auto"


class Training(Hardware):
    """Adam; after `lr_patience` epochs in which the loss fell by less than `min_delta`, the rate falls tenfold.

    `schedule: cosine` lets it fall to 0 over all epochs instead (Loshchilov and Hutter, ICLR 2017), which makes more of
    a small budget. Training stops after `stop_patience` epochs without any improvement, however small, or after
    `epochs`; the weights of the best epoch are kept. All by the validation loss. `cells_per_epoch` draws so many each
    epoch; None takes all.
    """

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
