"""The Lightning module and callbacks of detector training."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from torchvision.models.detection import FasterRCNN

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.detection.data import DetectionData, EpochSampler, Sample, collate, eval_loader
from blood_kedro.library.detection.network import batch_norms

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import Optimizer, Regimen

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]
LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")


class DetectionTask(L.LightningModule):
    """Faster R-CNN training: the sum of its four losses, and the same four on the validation images.

    `take_epoch_means` gives, after each epoch, the mean of every loss over images, named `train_*` and `val_*`.
    """

    def __init__(self, network: FasterRCNN, optimizer: Optimizer, steps_per_epoch: int, epochs: int) -> None:
        super().__init__()
        self.network, self.options, self.steps_per_epoch, self.epochs = network, optimizer, steps_per_epoch, epochs
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the four losses."""
        losses = self.network(*batch)
        total = torch.stack(list(losses.values())).sum()
        self._add("train", losses, total, len(batch[0]))
        self.log("train_loss", total.detach(), prog_bar=True, batch_size=len(batch[0]))
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same losses on validation images.

        torchvision computes losses in training mode only, so the network is put there with its batch statistics
        frozen. Which anchors and proposals are sampled is fixed by batch, so that epochs compare.
        """
        self.network.train()
        for layer in batch_norms(self.network):
            layer.eval()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed_for("validation", batch_idx))
            losses = self.network(*batch)
        self.network.eval()
        self._add("val", losses, torch.stack(list(losses.values())).sum(), len(batch[0]))

    def _add(self, stage: str, losses: dict[str, Tensor], total: Tensor, images: int) -> None:
        for name, value in {**losses, "loss": total}.items():
            self._sums[f"{stage}_{name}"] += float(value.detach()) * images
            self._counts[f"{stage}_{name}"] += images

    def take_epoch_means(self) -> dict[str, float]:
        """Means over the images of all processes since the last call; starts anew."""
        names = [f"{stage}_{name}" for stage in ("train", "val") for name in (*LOSSES, "loss")]
        both = torch.tensor([[self._sums[n] for n in names], [self._counts[n] for n in names]], device=self.device)
        sums, counts = self.trainer.strategy.reduce(both, reduce_op="sum").tolist()
        self._sums.clear()
        self._counts.clear()
        return {n: total / count for n, total, count in sorted(zip(names, sums, counts, strict=True)) if count}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD; the rate falls by epoch or along a cosine (times a linear warm-up, where one is set)."""
        options = self.options
        optimizer = torch.optim.SGD(
            [p for p in self.network.parameters() if p.requires_grad],
            options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
            if options.schedule == "cosine":
                return warm * (1 + math.cos(math.pi * min(1.0, step / (self.epochs * self.steps_per_epoch)))) / 2
            return float(warm * options.gamma ** (step // self.steps_per_epoch // options.step_epochs))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


class DetectionLoaders(L.LightningDataModule):
    """Training images in epoch order, validation images in fixed order."""

    def __init__(
        self,
        train: DetectionData,
        val: DetectionData,
        regimen: Regimen,
        repeats: npt.NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val, self.regimen, self.repeats = train, val, regimen, repeats

    def train_dataloader(self) -> DataLoader[Sample]:
        """Starts at the epoch that a resumed run is in: Lightning sets it only after workers were asked."""
        progress: Any = None if self.trainer is None else self.trainer.fit_loop.epoch_progress.current
        epoch = 0 if progress is None else progress.processed
        regimen, (rank, world) = self.regimen, self._place()
        return DataLoader(
            self.train,
            regimen.batch_size // world,
            sampler=EpochSampler(self.train, regimen.seed, regimen.images_per_epoch, epoch, self.repeats, rank, world),
            collate_fn=collate,
            num_workers=regimen.workers,
            persistent_workers=False,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> DataLoader[Sample]:
        """Images for the validation loss."""
        rank, world = self._place()
        return eval_loader(self.val, self.regimen.batch_size // world, self.regimen.workers, rank, world)

    def _place(self) -> tuple[int, int]:
        """This process among all that train."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


class EpochSeed(L.Callback):
    """Seeds torch at each epoch, so that anchor sampling does not depend on what ran before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seed by epoch."""
        torch.manual_seed(seed_for(self.seed, "epoch", trainer.current_epoch, trainer.global_rank))


class History(L.Callback):
    """One row per epoch: losses, learning rate, seconds, images per second. Travels with the checkpoint.

    Args:
        on_epoch: told each row.
        validate: further figures of the network, asked for every `every` epochs and after the last.
        every: None never asks.
    """

    def __init__(
        self,
        on_epoch: Callable[[dict[str, float]], None],
        validate: Callable[[FasterRCNN], dict[str, float]],
        every: int | None,
    ) -> None:
        self.rows: list[dict[str, float]] = []
        self._on_epoch, self._validate, self._every = on_epoch, validate, every
        self._start = self._end = 0.0
        self._images = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._start, self._images = time.perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """The clock of training stops here: validation is not training time."""
        self._images += len(batch[0]) * trainer.world_size
        self._end = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch and tell whoever listens."""
        if not isinstance(pl_module, DetectionTask):
            raise TypeError(f"History records a DetectionTask, got {type(pl_module).__name__}")
        seconds = self._end - self._start
        row = {
            "epoch": trainer.current_epoch + 1,
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            **pl_module.take_epoch_means(),
            "seconds": seconds,
            "images_per_second": self._images / seconds if seconds > 0 else float("nan"),
        }
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if self._every and trainer.is_global_zero and (last or (trainer.current_epoch + 1) % self._every == 0):
            row |= self._validate(pl_module.network)
        self.rows.append(row)
        self._on_epoch(row)

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
