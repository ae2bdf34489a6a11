"""Training of the cell detector: resumable, on one core."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import TrainingDivergedError
from blood_kedro.library.core.files import write_atomically
from blood_kedro.library.core.hashing import fingerprint, seed_for
from blood_kedro.library.shipped.cell_loss import Goal, cell_loss
from blood_kedro.library.shipped.cell_options import CLASSES, CellCompute, CellRecipe
from blood_kedro.library.shipped.cell_windows import Windows
from blood_kedro.library.shipped.centre_net import CentreNet, freeze_stages, imagenet_centre_net
from blood_kedro.library.shipped.pictures import LabelledPicture
from blood_kedro.library.training.batches import batches_from
from blood_kedro.library.training.predict import device_for
from blood_kedro.library.training.resume import saved_state

USUAL_COMPUTE = CellCompute()

Report = Callable[[int, dict[str, float]], None]


def train_cells(
    pictures: Sequence[LabelledPicture],
    recipe: CellRecipe,
    checkpoint: Path,
    report: Report | None = None,
    compute: CellCompute = USUAL_COMPUTE,
) -> tuple[CentreNet, list[dict[str, float]]]:
    """Train, or go on where a killed training stopped.

    Args:
        pictures: to train on.
        recipe: settings.
        checkpoint: file that is written every `checkpoint_every` steps and read at the start.
        report: called with the step and its figures as often as a checkpoint is written.
        compute: GPU or CPU, and processes that prepare batches; `cpu_s` does not count theirs.

    Returns:
        The network, on the CPU, with the running mean of its weights, and the history: `step`, `middle`, `box` (means
        of losses since the row before), `lr`, `cpu_s` (processor time so far, all runs together).

    Raises:
        TrainingDivergedError: a loss is not finite.
    """
    torch.manual_seed(seed_for(recipe.seed, "cells"))
    network = (imagenet_centre_net if recipe.first_weights.kind == "imagenet" else CentreNet)(
        len(CLASSES), recipe.channels
    )
    device = device_for(compute)
    network = network.to(memory_format=torch.channels_last).to(device)
    freeze_stages(network, recipe.frozen_stages if recipe.first_weights.kind == "imagenet" else 0)
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, recipe.lr, weight_decay=recipe.weight_decay)
    mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
    history: list[dict[str, float]] = []
    made_of = fingerprint([recipe.model_dump(), sorted(p.image_id for p in pictures)])
    first = _resume(checkpoint, made_of, network, optimizer, mean, history)
    before, began = history[-1]["cpu_s"] if history else 0.0, time.process_time()
    batches, sums = batches_from(first, recipe.steps, Windows(pictures, recipe), compute.workers), [0.0, 0.0]
    network.train()
    for step, (pixels, goals) in enumerate(batches, start=first):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * _factor(step, recipe)
        losses = _step(network, optimizer, learning, pixels, goals, step, recipe)
        sums = [total + loss for total, loss in zip(sums, losses, strict=True)]
        _average(mean, network, recipe.ema, step)
        steps = step + 1
        if steps % compute.checkpoint_every == 0 or steps == recipe.steps:
            n = steps - (history[-1]["step"] if history else 0)
            cpu_s = before + time.process_time() - began
            row = {"step": steps, "middle": sums[0] / n, "box": sums[1] / n, "lr": recipe.lr * _factor(step, recipe)}
            history.append({**row, "cpu_s": cpu_s})
            sums = [0.0, 0.0]
            going_on = None if steps == recipe.steps else optimizer
            _save(checkpoint, made_of, steps, network, going_on, mean, history)
            if report is not None:
                report(steps, history[-1])
    network.load_state_dict(mean)
    return network.eval().cpu(), history


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    learning: list[nn.Parameter],
    pixels: npt.NDArray[np.uint8],
    goals: list[Goal],
    step: int,
    recipe: CellRecipe,
) -> tuple[float, float]:
    device = learning[0].device
    maps = network(torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255)
    middle, box = cell_loss(maps, goals, recipe.class_weights)
    loss = middle + recipe.box_weight * box
    if not torch.isfinite(loss):
        raise TrainingDivergedError(
            "the cell detector diverged", where=f"step {step}", got=f"loss {loss.item()}", remedy="lower cells.lr"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(learning, recipe.clip)
    optimizer.step()
    return middle.item(), box.item()


def _factor(step: int, recipe: CellRecipe) -> float:
    """Warm-up, then half a cosine down to a hundredth."""
    warm = max(1, round(recipe.warmup * recipe.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - warm) / max(recipe.steps - warm, 1))) / 2


@torch.no_grad()
def _average(mean: dict[str, Tensor], network: nn.Module, keep: float, step: int) -> None:
    # The first weights are random: they must not weigh more than what has been learnt since.
    keep = min(keep, (1 + step) / (10 + step))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - keep)
        else:
            mean[name].copy_(value)


def _save(path: Path, made_of: str, step: int, network: nn.Module, optimizer: Any, mean: Any, history: Any) -> None:  # noqa: ANN401
    state = {"made_of": made_of, "step": step, "mean": mean, "history": history}
    if optimizer is not None:  # of a finished training nothing but the mean is needed
        state |= {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    write_atomically(path, partial(torch.save, state))


def _resume(path: Path, made_of: str, network: nn.Module, optimizer: Any, mean: Any, history: Any) -> int:  # noqa: ANN401
    """Step to go on from; 0 where there is no checkpoint of the same training."""
    state = saved_state(path, made_of, ("step", "mean", "history"))
    if state is None:
        return 0
    if "optimizer" in state:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    for name, value in state["mean"].items():
        mean[name].copy_(value)
    history.extend(state["history"])
    return int(state["step"])
