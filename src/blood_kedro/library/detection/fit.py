"""Train one regimen. Needs torch, torchvision and lightning only: no Kedro, no MLflow."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blood_kedro.library.core.cutout import Cutout
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.detection.options import Regimen

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """A trained detector: the bundle (weights, classes, options, origin) and one history row per epoch."""

    bundle: ModelBundle
    history: list[dict[str, float]]


def fit(
    regimen: Regimen,
    train: dict[str, Any],
    val: dict[str, Any],
    images: Path,
    work_folder: Path,
    *,
    pretrained: ModelBundle | None = None,
    cutouts: Sequence[Cutout] = (),
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Fit:
    """Train a detector and keep the weights of its last epoch, as paper 000 does.

    A run that was killed continues from the last finished epoch when it is called again with the same regimen, data and
    folder, and ends with the same weights.

    Args:
        regimen: the recipe.
        train: COCO json content; category ids count from 1.
        val: the same for validation.
        images: folder of their image files.
        work_folder: keeps the checkpoint to resume from; emptied at the end.
        pretrained: weights of the pre-training on generated smears, where the regimen starts from them.
        cutouts: cells for `regimen.copy_paste`.
        on_epoch: called with each history row as soon as the epoch ends.

    Raises:
        ConfigurationError: there is nothing to train on, or nothing to paste.
        WeightsNotFoundError: the initialization cannot be had.
        KeyboardInterrupt: the user stopped the training.
    """
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    from blood_kedro.library.detection.balance import repeat_factors
    from blood_kedro.library.detection.copy_paste import Paster
    from blood_kedro.library.detection.data import DetectionData, EpochSampler, channel_statistics
    from blood_kedro.library.detection.initialization import initialize
    from blood_kedro.library.detection.losses import asks_for_partial_labels, with_regimen_losses
    from blood_kedro.library.detection.network import IMAGENET_MEAN, IMAGENET_STD
    from blood_kedro.library.detection.task import DetectionLoaders, DetectionTask, EpochSeed, History

    # Lightning sets its own level when it is imported; its tips and device tables are not this project's log.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    if not train["images"] or not train["categories"]:
        raise ConfigurationError("nothing to train on", where=f"regimen {regimen.name}", got="no training images")
    torch.manual_seed(regimen.seed)
    paster = None if regimen.copy_paste is None else Paster(train, cutouts, regimen.copy_paste, regimen.seed)
    train_data = DetectionData(train, images, regimen.augmentation, regimen.seed, paster)
    val_data = DetectionData(_first(val, regimen.val_loss_images), images, regimen.augmentation, regimen.seed)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if regimen.normalization == "training_set":
        mean, std = channel_statistics(train_data, regimen.seed)  # type: ignore[assignment]
    classes = [category["name"] for category in train["categories"]]
    start = initialize(regimen.network, regimen.initialization, len(classes) + 1, mean, std, pretrained)
    logger.info("%s starts from %s", regimen.name, start.origin)
    images_per_epoch = len(EpochSampler(train_data, regimen.seed, regimen.images_per_epoch))
    network = start.network
    if asks_for_partial_labels(regimen):
        network = with_regimen_losses(network, regimen, train)
    task = DetectionTask(network, regimen.optimizer, -(-images_per_epoch // regimen.batch_size))
    repeats = repeat_factors(train) if regimen.sampler == "repeat_factor" else None
    history = History(on_epoch)
    identity = fingerprint([_identity(regimen), train, val, start.origin, _cells(cutouts)])
    resume = _resume_point(work_folder, identity)
    if resume is not None:
        logger.info("%s continues from %s", regimen.name, resume)
    trainer = L.Trainer(
        max_epochs=regimen.epochs,
        accelerator=regimen.accelerator,
        devices=regimen.devices,
        precision=regimen.precision,
        gradient_clip_val=regimen.optimizer.clip_norm,
        callbacks=[
            EpochSeed(regimen.seed),
            history,
            ModelCheckpoint(
                work_folder / identity, "resume", monitor=None, enable_version_counter=False,
                save_on_train_epoch_end=True,
            ),
        ],
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=work_folder,
    )  # fmt: skip
    trainer.fit(
        task, datamodule=DetectionLoaders(train_data, val_data, regimen, repeats), ckpt_path=resume, weights_only=True
    )
    if trainer.interrupted:
        raise KeyboardInterrupt(f"training of {regimen.name} was interrupted")
    weights = {name: value.detach().cpu() for name, value in task.network.state_dict().items()}
    shutil.rmtree(work_folder, ignore_errors=True)
    config = {
        "regimen": regimen.model_dump(mode="json"),
        "classes": classes,
        "image_mean": list(mean),
        "image_std": list(std),
        "weights_origin": start.origin,
        "data_fingerprint": fingerprint([train, val]),
        "cutouts": dict(Counter(f"{c.label} ({_kind(c)})" for c in cutouts)),
        "train_images": len(train["images"]),
        "val_images": len(val["images"]),
    }
    return Fit(ModelBundle(weights, config), history.rows)


def _identity(regimen: Regimen) -> dict[str, Any]:
    """What decides the result; where and how fast it is computed does not."""
    return regimen.model_dump(mode="json", exclude={"workers", "accelerator", "enabled"})


def _cells(cutouts: Sequence[Cutout]) -> list[str]:
    return [hashlib.sha256(c.absorbance.tobytes()).hexdigest()[:16] for c in cutouts]


def _kind(cutout: Cutout) -> str:
    return "simulated" if cutout.origin == "simulated" else "real"


def _first(coco: dict[str, Any], count: int | None) -> dict[str, Any]:
    """The COCO json with every n-th image, `count` in all (annotations of other images do no harm)."""
    if count is None or count >= len(coco["images"]):
        return coco
    step = len(coco["images"]) / count
    return {**coco, "images": [coco["images"][int(k * step)] for k in range(count)]}


def _resume_point(work_folder: Path, identity: str) -> str | None:
    """The checkpoint of the same training, if one was left; those of other trainings are removed."""
    for path in work_folder.glob("*"):
        if path.name != identity:
            shutil.rmtree(path, ignore_errors=True)
    path = work_folder / identity / "resume.ckpt"
    return str(path) if path.is_file() else None
