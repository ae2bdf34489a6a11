"""What every training here shares: means of losses per epoch, a history, seeds by epoch, a time limit."""

from __future__ import annotations

import logging
import math
import signal
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from blood_kedro.library.core.errors import TrainingDivergedError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.logs import at_level, duration

logger = logging.getLogger(__name__)

# Where Lightning logs: of its two packages, which are the same, one or the other speaks, by what was imported before.
_LOGGERS = ("lightning.pytorch", "pytorch_lightning")


@contextmanager
def without_tips() -> Iterator[None]:
    """Lightning without its tips and device tables, and without warnings that nobody here can act on.

    A trainer is to be made inside: it says what it finds when it is made. The level of Lightning's logger, which is the
    documented switch, is set to INFO when it is imported, and it has a handler of its own, so that what it says is said
    twice. Its warnings come of its own use of torch, of data that are loaded in the training's own process by choice,
    and of the folder of checkpoints of a training that continues.
    """
    with ExitStack() as quiet:
        for name in _LOGGERS:
            quiet.enter_context(at_level(logging.getLogger(name), logging.WARNING))
        quiet.enter_context(warnings.catch_warnings())
        for message in (".*LeafSpec.*", ".*num_workers.*", ".*Checkpoint directory.*exists and is not empty.*"):
            warnings.filterwarnings("ignore", message=message)
        yield


def fit_or_stop(
    trainer: L.Trainer, task: L.LightningModule, loaders: L.LightningDataModule, resume: str | None
) -> None:
    """Train, from a checkpoint or from the start; a training that a signal stopped is not taken for a finished one.

    Raises:
        KeyboardInterrupt: Ctrl-C; Lightning itself would return.
        SystemExit: SIGTERM, with the status that shells give it; Lightning's own has none, which looks like success.
    """
    try:
        trainer.fit(task, datamodule=loaders, ckpt_path=resume, weights_only=True)
    except SIGTERMException as error:
        raise SystemExit(128 + signal.SIGTERM) from error
    if trainer.interrupted:
        raise KeyboardInterrupt("training was interrupted")


class EpochTask(L.LightningModule):
    """A task that keeps the mean of named values over the images of an epoch, in training and in validation.

    Args:
        network: what is trained.
        names: of the values that `add` gets.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self._names = network, tuple(names)
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, stage: str, values: dict[str, Tensor], images: int) -> None:
        """Count means over a batch; `stage` is `train` or `val`."""
        for name, value in values.items():
            self._sums[f"{stage}_{name}"] += float(value.detach()) * images
            self._counts[f"{stage}_{name}"] += images

    def take_epoch_means(self) -> dict[str, float]:
        """Means over the images of all processes since the last call, named `train_*` and `val_*`; starts anew."""
        names = [f"{stage}_{name}" for stage in ("train", "val") for name in self._names]
        both = torch.tensor([[self._sums[n] for n in names], [self._counts[n] for n in names]], device=self.device)
        sums, counts = self.trainer.strategy.reduce(both, reduce_op="sum").tolist()
        self._sums.clear()
        self._counts.clear()
        return {n: total / count for n, total, count in sorted(zip(names, sums, counts, strict=True)) if count}


class EpochSeed(L.Callback):
    """Seeds torch at each epoch, so that what is sampled does not depend on what ran before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seed by epoch."""
        torch.manual_seed(seed_for(self.seed, "epoch", trainer.current_epoch, trainer.global_rank))


class History(L.Callback):
    """One row per epoch: losses, learning rate, seconds, images per second. Travels with the checkpoint.

    Each is also one line of the log, with the time that the epochs to come would take.

    Args:
        name: what is trained, as the log calls it.
        on_epoch: told each row.
        validate: further figures of the network, asked for every `every` epochs and after the last.
        every: None never asks.
    """

    def __init__(
        self,
        name: str,
        on_epoch: Callable[[dict[str, float]], None],
        validate: Callable[[Any], dict[str, float]] = lambda _: {},
        every: int | None = None,
    ) -> None:
        self.rows: list[dict[str, float]] = []
        self._name = name
        self._on_epoch, self._validate, self._every = on_epoch, validate, every
        self._start = self._end = 0.0
        self._images = self._epochs = 0
        self._fit_start: float | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        if self._fit_start is None:
            self._fit_start = time.perf_counter()
        self._start, self._images = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The clock of training stops here: validation is not training time."""
        self._images += len(batch[0]) * trainer.world_size
        self._end = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch and tell whoever listens.

        Raises:
            TrainingDivergedError: the loss is no number any more.
        """
        if not isinstance(pl_module, EpochTask):
            raise TypeError(f"History records an EpochTask, got {type(pl_module).__name__}")
        seconds, epoch = self._end - self._start, trainer.current_epoch + 1
        row = {
            "epoch": epoch,
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            **pl_module.take_epoch_means(),
            "seconds": seconds,
            "images_per_second": self._images / seconds if seconds > 0 else float("nan"),
        }
        if not math.isfinite(row["train_loss"]):
            raise TrainingDivergedError(
                "the training loss is no number any more",
                where=f"epoch {epoch}",
                got=str(row["train_loss"]),
                remedy="lower the learning rate, lengthen the warm-up, clip gradients, or train in 32-true",
            )
        if self._every and trainer.is_global_zero and (epoch == trainer.max_epochs or epoch % self._every == 0):
            row |= self._validate(pl_module.network)
        self.rows.append(row)
        self._on_epoch(row)
        self._epochs += 1
        if trainer.is_global_zero:
            self._tell(row, int(trainer.max_epochs or epoch))

    def _tell(self, row: Mapping[str, float], epochs: int) -> None:
        took = (time.perf_counter() - (self._fit_start or self._start)) / self._epochs  # validation is part of it
        left = (epochs - row["epoch"]) * took
        losses = f"loss {row['train_loss']:.4f}"
        losses += f", validation {row['val_loss']:.4f}" if "val_loss" in row else ""
        ahead = f", at most {duration(left)} left" if left else ""
        logger.info("%s: epoch %d of %d, %s, %s%s", self._name, row["epoch"], epochs, losses, duration(took), ahead)

    def state_dict(self) -> dict[str, Any]:
        """Rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the rows of the run that is resumed, and tell the listener of them."""
        self.rows = list(state_dict["rows"])
        for row in self.rows:
            self._on_epoch(row)


class TimeLimit(L.Callback):
    """Stops after the last epoch that fits into so many seconds; what is left is done by the next call."""

    def __init__(self, seconds: float) -> None:
        self._end, self._epoch_start, self.reached = time.monotonic() + seconds, 0.0, False

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of this epoch."""
        self._epoch_start = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop where another epoch like this one would not fit; all processes stop if one would."""
        now = time.monotonic()
        more = trainer.current_epoch + 1 < int(trainer.max_epochs or 0)
        late = more and now + (now - self._epoch_start) > self._end
        self.reached = bool(trainer.strategy.reduce_boolean_decision(late, all=False))
        trainer.should_stop = trainer.should_stop or self.reached
