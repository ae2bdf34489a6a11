"""Training of a shipped classifier: fixed in length, resumable, its averaged weights kept.

Nothing is chosen by the validation cells while it runs: the averaged weights of the last step are the result.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from blood_kedro.library.core.errors import TrainingDivergedError
from blood_kedro.library.core.files import write_atomically
from blood_kedro.library.core.hashing import fingerprint, seed_for
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.shipped.type_network import CellTypeNet, as_images, first_network
from blood_kedro.library.shipped.type_options import TypeCompute, TypeRecipe
from blood_kedro.library.shipped.views import plain_view, training_view
from blood_kedro.library.training.batches import batches_from
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS, Backbone
from blood_kedro.library.training.predict import device_for
from blood_kedro.library.training.resume import saved_state

logger = logging.getLogger(__name__)

USUAL_COMPUTE = TypeCompute()

Crops = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lessons:
    """Cells to learn from.

    `crops (N, S, S, 3) uint8` have margins; `meant (N, C) bool` says which classes a label allows (a neutrophil may be
    band or segmented); `rows` are those that are trained on.
    """

    crops: Crops
    meant: npt.NDArray[np.bool_]
    rows: Rows


@dataclass(frozen=True)
class TrainedTypes:
    """Averaged weights by layer name, loss by step, and the CPU seconds that it took."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]
    cpu_s: float


def fit_types(
    lessons: Lessons,
    recipe: TypeRecipe,
    work_folder: Path,
    on_step: Callable[[dict[str, float]], None] = lambda _: None,
    compute: TypeCompute = USUAL_COMPUTE,
) -> TrainedTypes:
    """Train for the steps of the recipe.

    A run that was killed continues from its last checkpoint when it is called again with the same arguments.

    Args:
        lessons: what to learn.
        recipe: how.
        work_folder: keeps the checkpoint; removed at the end.
        on_step: called with each row of the history.
        compute: GPU or CPU, and processes that prepare crops; CPU seconds do not count theirs.

    Raises:
        TrainingDivergedError: the loss is no number any more.
        WeightsNotFoundError: ImageNet weights are not installed.
    """
    if recipe.model in FOUNDATION_MODELS:
        return _probed(lessons, recipe)
    state = _State.start(lessons, recipe, work_folder, device_for(compute))
    start = time.process_time()
    for views, meant in batches_from(state.step, recipe.steps, _Views(lessons, recipe), compute.workers):
        loss = _train_step(state, views, meant, recipe)
        state.cpu_s += time.process_time() - start
        start = time.process_time()
        state.step += 1
        if state.step % compute.checkpoint_every == 0 or state.step == recipe.steps:
            row = {"step": float(state.step), "loss": loss, "cpu_s": state.cpu_s}
            state.history.append(row)
            on_step(row)
            logger.info("step %d of %d, loss %.3f, %.0f CPU s", state.step, recipe.steps, loss, state.cpu_s)
            state.save()
    shutil.rmtree(work_folder, ignore_errors=True)
    average = {name: value.cpu() for name, value in state.average.items()}
    return TrainedTypes(average, state.history, state.cpu_s)


def _probed(lessons: Lessons, recipe: TypeRecipe) -> TrainedTypes:
    """A head on a foundation model's features, learnt from the cells whose label allows one class."""
    from blood_kedro.library.training.foundation import fit_probe

    start = time.process_time()
    rows = lessons.rows[lessons.meant[lessons.rows].sum(axis=1) == 1]
    labels = torch.from_numpy(lessons.meant[rows].argmax(axis=1))
    batches = (
        (as_images(plain_view(lessons.crops[rows[k : k + recipe.batch]], recipe.view)), labels[k : k + recipe.batch])
        for k in range(0, len(rows), recipe.batch)
    )
    folder = Path(str(recipe.model_folder))
    model = cast("Backbone", recipe.model)
    probe, _ = fit_probe(model, recipe.probe, folder, lessons.meant.shape[1], batches)
    return TrainedTypes(probe.state_dict(), [], time.process_time() - start)


def sampling_chances(lessons: Lessons, balance: float) -> npt.NDArray[np.float64]:
    """Chance of each training row to be drawn, sum 1: rarer labels oftener, as `balance` says."""
    _, kind, counts = np.unique(lessons.meant[lessons.rows], axis=0, return_inverse=True, return_counts=True)
    chances = counts[kind.ravel()].astype(float) ** -balance
    return np.asarray(chances / chances.sum(), np.float64)


def allowed_loss(logits: Tensor, meant: Tensor, smoothing: float) -> Tensor:
    """Mean of minus the log of the probability that the allowed classes have together, smoothed over all classes."""
    logs = logits.log_softmax(dim=1)
    allowed = torch.logsumexp(logs.masked_fill(~meant, -torch.inf), dim=1)
    return -((1 - smoothing) * allowed + smoothing * logs.mean(dim=1)).mean()


_SAVED_KEYS = ("network", "optimizer", "average", "history", "step", "cpu_s")


class _State:
    """All that changes while a network learns."""

    def __init__(self, network: CellTypeNet, recipe: TypeRecipe, file: Path) -> None:
        self.network, self.file = network, file
        groups: list[dict[str, Any]] = [{"params": [], "weight_decay": d} for d in (recipe.weight_decay, 0.0)]
        for parameter in network.parameters():
            if parameter.requires_grad:
                groups[parameter.ndim < 2]["params"].append(parameter)
        self.optimizer = torch.optim.AdamW(groups, recipe.lr)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step, self.cpu_s = 0, 0.0
        self.history: list[dict[str, float]] = []

    @classmethod
    def start(cls, lessons: Lessons, recipe: TypeRecipe, folder: Path, device: torch.device) -> _State:
        torch.manual_seed(seed_for(recipe.seed, "network"))
        name = fingerprint([to_plain(recipe), lessons.rows.tolist(), lessons.meant.shape, int(lessons.meant.sum())])
        network = first_network(lessons.meant.shape[1], recipe).to(device)
        state = cls(network, recipe, folder / f"{name}.pt")
        if (saved := saved_state(state.file, name, _SAVED_KEYS)) is not None:
            state._load(saved)
            logger.info("training continues from step %d", state.step)
        return state

    def _load(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name, value in saved["average"].items():
            self.average[name].copy_(value)
        self.history = saved["history"]
        self.step, self.cpu_s = saved["step"], saved["cpu_s"]

    def save(self) -> None:
        state = {
            "made_of": self.file.stem,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "history": self.history,
            "step": self.step,
            "cpu_s": self.cpu_s,
        }
        write_atomically(self.file, partial(torch.save, state))


class _Views(Dataset[tuple[Crops, npt.NDArray[np.bool_]]]):
    """Views of cells and what their labels allow, by number of the step: they depend on nothing else."""

    def __init__(self, lessons: Lessons, recipe: TypeRecipe) -> None:
        self.lessons, self.recipe = lessons, recipe
        self.chances = sampling_chances(lessons, recipe.balance)

    def __getitem__(self, step: int) -> tuple[Crops, npt.NDArray[np.bool_]]:
        rng = np.random.default_rng(seed_for(self.recipe.seed, "step", step))
        rows = rng.choice(self.lessons.rows, self.recipe.batch, p=self.chances)
        views = np.stack([training_view(self.lessons.crops[row], rng, self.recipe) for row in rows])
        return views, self.lessons.meant[rows]


def _train_step(state: _State, views: Crops, meant: npt.NDArray[np.bool_], recipe: TypeRecipe) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.lr * rate(state.step, recipe)
    torch.manual_seed(seed_for(recipe.seed, "step", state.step))  # of dropout; the same after a resumed run
    device = next(state.network.parameters()).device
    state.network.train()
    logits = state.network(as_images(views, device))
    loss = allowed_loss(logits, torch.from_numpy(meant).to(device), recipe.smoothing)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDivergedError(
            "the loss is no number any more", where=f"step {state.step}", got=str(value), remedy="lower lr"
        )
    state.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimizer.step()
    _average(state, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    return value


def rate(step: int, recipe: TypeRecipe) -> float:
    """The learning rate of a step as a share of the highest: a short rise, then a cosine to zero."""
    rise = max(1, round(recipe.warmup * recipe.steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, recipe.steps - rise)))


def _average(state: _State, decay: float) -> None:
    with torch.no_grad():
        for name, value in state.network.state_dict().items():
            mean = state.average[name]
            if value.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
