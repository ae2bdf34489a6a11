"""Train a network on single cells: resumable, stopped by its validation loss, its best epoch kept."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.utils.data import DataLoader

from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.training.crops import CropData, in_order
from blood_kedro.library.training.epochs import EpochSeed, EpochTask, History, fit_or_stop, without_tips
from blood_kedro.library.training.options import USUAL_COMPUTE, Compute, Training
from blood_kedro.library.training.resume import checkpoint, resume_point
from blood_kedro.library.training.sampling import EpochSampler

logger = logging.getLogger(__name__)

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Trained:
    """Weights of the best epoch by name, one history row per epoch, and the number of the best epoch."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int


def training_seconds(history: list[dict[str, float]]) -> float:
    """Seconds of all epochs, without validation; a training that was killed and resumed counts whole."""
    return sum(row["seconds"] for row in history)


class SupervisedTask(EpochTask):
    """Adam on a loss of outputs and targets, the rate lowered when the validation loss stands still."""

    def __init__(self, network: nn.Module, loss: Loss, val_loss: Loss, settings: Training) -> None:
        # Convolutions of small crops are 1.4 times as fast with channels last, on a CPU too (make bench PARTS=cells).
        super().__init__(network.to(memory_format=torch.channels_last), ("loss",))
        self._loss, self._val_loss, self._settings = loss, val_loss, settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean loss of a batch."""
        loss = self._loss(self.network(batch[0].to(memory_format=torch.channels_last)), batch[1])
        self.add("train", {"loss": loss}, len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Mean validation loss of a batch."""
        loss = self._val_loss(self.network(batch[0].to(memory_format=torch.channels_last)), batch[1])
        self.add("val", {"loss": loss}, len(batch[0]))
        self.log("val_loss", loss, batch_size=len(batch[0]), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """As Elmanna et al. 2024, section 4.4, or with a cosine."""
        settings = self._settings
        optimizer = torch.optim.Adam(self.network.parameters(), settings.lr)
        if settings.schedule == "cosine":
            return {"optimizer": optimizer, "lr_scheduler": CosineAnnealingLR(optimizer, settings.epochs)}
        # torch lowers the rate after one flat epoch more than its patience; Keras (Elmanna et al. 2024) does not.
        scheduler = ReduceLROnPlateau(
            optimizer,
            factor=settings.lr_factor,
            patience=settings.lr_patience - 1,
            threshold=settings.min_delta,
            threshold_mode="abs",
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Nothing: `on_train_epoch_end` does it."""

    def on_train_epoch_end(self) -> None:
        """Step the schedule before the checkpoint is written, so that a resumed training does not miss a step.

        Lightning would do it afterwards; and `History`, which comes first, records the rate that the epoch had.
        """
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics["val_loss"])
        else:
            scheduler.step()


class _Cells(L.LightningDataModule):
    def __init__(self, train: CropData, val: CropData, settings: Training, compute: Compute, seed: int) -> None:
        super().__init__()
        self.train, self.val, self.settings, self.compute, self.seed = train, val, settings, compute, seed

    def train_dataloader(self) -> DataLoader[Any]:
        """In an order of its own each epoch; starts at the epoch that a resumed run is in."""
        progress: Any = None if self.trainer is None else self.trainer.fit_loop.epoch_progress.current
        epoch = 0 if progress is None else progress.processed
        sampler = EpochSampler(self.train, self.seed, self.settings.cells_per_epoch, epoch)
        # A last batch of few cells would decide batch norm's running statistics, which validation uses.
        drop = len(sampler) > self.settings.batch_size
        return DataLoader(
            self.train,
            self.settings.batch_size,
            sampler=sampler,
            num_workers=self.compute.workers,
            generator=torch.Generator(),
            drop_last=drop,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """In order."""
        return in_order(self.val, 4 * self.settings.batch_size, self.compute.workers)


def fit_supervised(
    network: nn.Module,
    loss: Loss,
    train: CropData,
    val: CropData,
    settings: Training,
    *,
    seed: int,
    identity: Any,
    work_folder: Path,
    compute: Compute = USUAL_COMPUTE,
    val_loss: Loss | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
    name: str = "training",
) -> Trained:
    """Train until the validation loss stands still, or for `settings.epochs`.

    A run that was killed continues from the last finished epoch when it is called again with the same arguments.

    Args:
        network: with its first weights; changed in place.
        loss: of outputs and targets.
        train: cells to train on, augmented.
        val: cells to stop by.
        settings: of the optimizer and its patience.
        seed: decides order and augmentation.
        identity: JSON-like; whatever decides the result besides `settings` and `seed`.
        work_folder: keeps the checkpoints; emptied at the end.
        compute: where it is trained; another one continues the same training.
        val_loss: what validation is judged by; None takes `loss`.
        on_epoch: called with each history row as soon as the epoch ends.
        name: what is trained, as the log calls it.

    Raises:
        TrainingDivergedError: the loss is no number any more.
        KeyboardInterrupt: the user stopped the training.
    """
    torch.manual_seed(seed)
    identified = fingerprint([identity, to_plain(settings), seed, train.chosen.tolist(), val.chosen.tolist()])
    resume = resume_point(work_folder, identified)
    if resume is not None:
        logger.info("%s continues from %s", name, resume)
    history = History(name, on_epoch)
    best = ModelCheckpoint(work_folder / identified, "best", monitor="val_loss", enable_version_counter=False)
    task = SupervisedTask(network, loss, val_loss or loss, settings)
    with without_tips():
        trainer = L.Trainer(
            max_epochs=settings.epochs,
            accelerator=compute.accelerator,
            devices=1,
            precision=settings.precision,
            callbacks=[
                EpochSeed(seed),
                history,
                best,
                EarlyStopping("val_loss", min_delta=0.0, patience=settings.stop_patience),
                checkpoint(work_folder, identified),
            ],
            logger=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
            default_root_dir=work_folder,
        )
        fit_or_stop(trainer, task, _Cells(train, val, settings, compute, seed), resume)
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    prefix = "network."
    weights = {n.removeprefix(prefix): v for n, v in state["state_dict"].items() if n.startswith(prefix)}
    network.load_state_dict(weights)
    shutil.rmtree(work_folder, ignore_errors=True)
    return Trained(weights, history.rows, int(state["epoch"]) + 1)
