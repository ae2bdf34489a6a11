"""The Lightning module and callbacks of detector training."""

from __future__ import annotations

import math
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
from blood_kedro.library.detection.data import DetectionData, Sample, collate, eval_loader
from blood_kedro.library.detection.network import batch_norms
from blood_kedro.library.training.epochs import EpochTask
from blood_kedro.library.training.sampling import EpochSampler

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import Optimizer, Recipe
    from blood_kedro.library.training.options import DetectorCompute

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]
LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")


class DetectionTask(EpochTask):
    """Faster R-CNN training: the sum of its four losses, and the same four on the validation images."""

    def __init__(self, network: FasterRCNN, optimizer: Optimizer, steps_per_epoch: int, epochs: int) -> None:
        super().__init__(network, (*LOSSES, "loss"))
        self.options, self.steps_per_epoch, self.epochs = optimizer, steps_per_epoch, epochs

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the four losses."""
        losses = self.network(*batch)
        total = torch.stack(list(losses.values())).sum()
        self.add("train", {**losses, "loss": total}, len(batch[0]))
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
        self.add("val", {**losses, "loss": torch.stack(list(losses.values())).sum()}, len(batch[0]))

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
        recipe: Recipe,
        compute: DetectorCompute,
        repeats: npt.NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val, self.repeats = train, val, repeats
        self.recipe, self.compute = recipe, compute

    def train_dataloader(self) -> DataLoader[Sample]:
        """Starts at the epoch that a resumed run is in: Lightning sets it only after workers were asked."""
        progress: Any = None if self.trainer is None else self.trainer.fit_loop.epoch_progress.current
        epoch = 0 if progress is None else progress.processed
        recipe, (rank, world) = self.recipe, self._place()
        return DataLoader(
            self.train,
            recipe.batch_size // world,
            sampler=EpochSampler(self.train, recipe.seed, recipe.images_per_epoch, epoch, self.repeats, rank, world),
            collate_fn=collate,
            num_workers=self.compute.workers,
            persistent_workers=False,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> DataLoader[Sample]:
        """Images for the validation loss."""
        rank, world = self._place()
        return eval_loader(self.val, self.recipe.batch_size // world, self.compute.workers, rank, world)

    def _place(self) -> tuple[int, int]:
        """This process among all that train."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
