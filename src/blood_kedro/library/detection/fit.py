"""Train one regimen. Needs torch, torchvision, lightning and pycocotools only: no Kedro, no MLflow, no pydantic."""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import all_learnt_from
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.plain_options import to_plain

if TYPE_CHECKING:
    import lightning as L
    from torchvision.models.detection import FasterRCNN

    from blood_kedro.library.detection.data import DetectionData
    from blood_kedro.library.detection.options import Recipe, Regimen
    from blood_kedro.library.training.options import DetectorCompute

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """A trained detector: the bundle (weights, classes, options, origin) and one history row per epoch.

    `finished` is False where a time limit stopped the training: the next call goes on from there.
    """

    bundle: ModelBundle
    history: list[dict[str, float]]
    finished: bool = True


def fit(
    regimen: Regimen,
    train: dict[str, Any],
    val: dict[str, Any],
    images: Path,
    work_folder: Path,
    *,
    pretrained: ModelBundle | None = None,
    cutouts: Sequence[CellPatch] = (),
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
    seconds: float | None = None,
) -> Fit:
    """Train a detector and keep the weights of its last epoch, as Sahay 2025 does.

    A run that was killed continues from the last finished epoch when it is called again with the same regimen, data and
    folder, and ends with the same weights. Under torchrun every process calls this and gets the same result.

    Args:
        regimen: a `Regimen`, or what has its `recipe` and `compute`; the second decides nothing but the time.
        train: COCO json content; category ids count from 1.
        val: the same for validation.
        images: folder of their image files.
        work_folder: keeps the checkpoint to resume from; emptied at the end.
        pretrained: weights of the pre-training on generated smears or of an MLflow run, for those that start there.
        cutouts: cells for `copy_paste`.
        on_epoch: called with each history row as soon as the epoch ends, in every process.
        seconds: stop after the last epoch that ends within this time.

    Raises:
        ConfigurationError: there is nothing to train on, or nothing to paste.
        WeightsNotFoundError: the first weights cannot be had.
        KeyboardInterrupt: the user stopped the training.
    """
    import torch

    from blood_kedro.library.detection.balance import repeat_factors
    from blood_kedro.library.detection.copy_paste import Paster
    from blood_kedro.library.detection.data import DetectionData
    from blood_kedro.library.detection.task import DetectionLoaders, DetectionTask
    from blood_kedro.library.training.epochs import History, TimeLimit, fit_or_stop, without_tips
    from blood_kedro.library.training.resume import resume_point
    from blood_kedro.library.training.sampling import EpochSampler

    recipe, compute = regimen.recipe, regimen.compute
    train = without_source(train, recipe.leave_out)
    if not train["images"] or not train["categories"]:
        raise ConfigurationError("nothing to train on", where=f"regimen {recipe.name}", got="no training images")
    torch.manual_seed(recipe.seed)
    paster = None if recipe.copy_paste is None else Paster(train, cutouts, recipe.copy_paste, recipe.seed)
    side = recipe.network.input_px
    train_data = DetectionData(train, images, recipe.augmentation, recipe.seed, paster, side)
    val_data = DetectionData(_first(val, recipe.val_loss_images), images, recipe.augmentation, recipe.seed)
    network, config = _start(recipe, train, train_data, pretrained)
    images_per_epoch = len(EpochSampler(train_data, recipe.seed, recipe.images_per_epoch))
    task = DetectionTask(network, recipe.optimizer, -(-images_per_epoch // recipe.batch_size), recipe.epochs)
    repeats = repeat_factors(train) if recipe.sampler == "repeat_factor" else None
    history = History(recipe.name, on_epoch, _validation(val_data, val, recipe, compute), recipe.map_every)
    limit = TimeLimit(float("inf") if seconds is None else seconds)
    identity = fingerprint([to_plain(recipe), train, val, config["weights_origin"], _cells(cutouts)])
    resume = resume_point(work_folder, identity)
    if resume is not None:
        logger.info("%s continues from %s", recipe.name, resume)
    with without_tips():
        trainer = _trainer(recipe, compute, work_folder, identity, [history, limit])
        fit_or_stop(trainer, task, DetectionLoaders(train_data, val_data, recipe, compute, repeats), resume)
    weights = {name: value.detach().cpu().contiguous() for name, value in task.network.state_dict().items()}
    trainer.strategy.barrier()
    if trainer.is_global_zero and not limit.reached:
        shutil.rmtree(work_folder, ignore_errors=True)
    config |= {
        "compute": to_plain(compute),
        "data_fingerprint": fingerprint([train, val]),
        "cutouts": dict(Counter(f"{c.label} ({_kind(c)})" for c in cutouts)),
        "train_images": len(train["images"]),
        "val_images": len(val["images"]),
    }
    return Fit(ModelBundle(weights, config), history.rows, finished=not limit.reached)


def _start(
    recipe: Recipe, train: dict[str, Any], data: DetectionData, pretrained: ModelBundle | None
) -> tuple[FasterRCNN, dict[str, Any]]:
    """The network before its first step, and what is needed to build it again."""
    import torch

    from blood_kedro.library.detection.data import channel_statistics
    from blood_kedro.library.detection.initialization import initialize
    from blood_kedro.library.detection.losses import asks_for_partial_labels, with_regimen_losses
    from blood_kedro.library.detection.network import imagenet_normalization

    mean, std = imagenet_normalization(recipe.network.backbone)
    if recipe.normalization == "training_set":
        mean, std = channel_statistics(data, recipe.seed)
    anchors = _fitted_anchors(train, recipe)
    classes = [category["name"] for category in train["categories"]]
    start = initialize(recipe.network, recipe.first_weights, len(classes) + 1, mean, std, pretrained, anchors)
    logger.info("%s starts from %s", recipe.name, start.origin)
    network = start.network
    if asks_for_partial_labels(recipe):
        network = with_regimen_losses(network, recipe, train)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if recipe.compile:
        network.backbone.compile()
    return network, {
        "regimen": to_plain(recipe),
        "classes": classes,
        "image_mean": list(mean),
        "image_std": list(std),
        "anchors_px": anchors,
        "weights_origin": start.origin,
        "learnt_from": all_learnt_from((i.get("image_id", i["file_name"]) for i in train["images"]), start.config),
    }


def _trainer(
    recipe: Recipe, compute: DetectorCompute, work_folder: Path, identity: str, callbacks: list[L.Callback]
) -> L.Trainer:
    import lightning as L

    from blood_kedro.library.training.epochs import EpochSeed
    from blood_kedro.library.training.resume import checkpoint

    return L.Trainer(
        max_epochs=recipe.epochs,
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.num_nodes,
        strategy=compute.strategy,
        use_distributed_sampler=False,  # EpochSampler divides the images
        sync_batchnorm=compute.devices * compute.num_nodes > 1,
        precision=recipe.precision,
        gradient_clip_val=recipe.optimizer.clip_norm,
        callbacks=[EpochSeed(recipe.seed), *callbacks, checkpoint(work_folder, identity)],
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=work_folder,
    )


def without_source(coco: dict[str, Any], source: str | None) -> dict[str, Any]:
    """The COCO json without the images of a source; the classes stay.

    Raises:
        ConfigurationError: there is no image of that source.
    """
    if source is None:
        return coco
    images = [image for image in coco["images"] if image["source"] != source]
    if len(images) == len(coco["images"]):
        raise ConfigurationError(
            "the source to leave out has no image",
            where="regimen: leave_out",
            got=source,
            expected=", ".join(sorted({image["source"] for image in coco["images"]})),
        )
    numbers = {image["id"] for image in images}
    return {**coco, "images": images, "annotations": [a for a in coco["annotations"] if a["image_id"] in numbers]}


def _fitted_anchors(train: dict[str, Any], recipe: Recipe) -> list[list[float]] | None:
    from blood_kedro.library.detection.anchors import fit_anchors, training_sizes

    if recipe.network.anchors == "default":
        return None
    anchors: list[list[float]] = fit_anchors(training_sizes(train, recipe.network.input_px), recipe.seed).tolist()
    return anchors


def _validation(
    data: DetectionData, coco: dict[str, Any], recipe: Recipe, compute: DetectorCompute
) -> Callable[[FasterRCNN], dict[str, float]]:
    """AP50 of a network on the validation images, for the history."""

    def measure(network: FasterRCNN) -> dict[str, float]:
        from blood_kedro.library.detection.predict import detect
        from blood_kedro.library.evaluation.coco_metrics import average_precision

        results = detect(network, data, recipe.batch_size, compute.workers)
        value = average_precision({**coco, "images": data.records}, results)
        return {"val_map_50": float("nan") if value is None else value}

    return measure


def _cells(cutouts: Sequence[CellPatch]) -> list[str]:
    return [hashlib.sha256(c.absorbance.tobytes()).hexdigest()[:16] for c in cutouts]


def _kind(cutout: CellPatch) -> str:
    return "simulated" if cutout.origin == "simulated" else "real"


def _first(coco: dict[str, Any], count: int | None) -> dict[str, Any]:
    """The COCO json with every n-th image, `count` in all (annotations of other images do no harm)."""
    if count is None or count >= len(coco["images"]):
        return coco
    step = len(coco["images"]) / count
    return {**coco, "images": [coco["images"][int(k * step)] for k in range(count)]}
