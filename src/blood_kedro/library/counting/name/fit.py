"""One training of the classifier of cutouts: augmented and balanced cutouts, weights to start from, the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.counting.name.cell_types import build_network
from blood_kedro.library.counting.options import KindClassifier
from blood_kedro.library.training.crops import CropData, Turn
from blood_kedro.library.training.draws import drawn_from
from blood_kedro.library.training.splits import Indices, RowsByPart
from blood_kedro.library.training.supervised import fit_supervised

Cutouts = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TrainedKinds:
    """A trained network, its history by epoch, the loss of its best one, and training cutouts of each kind."""

    network: nn.Module
    history: list[dict[str, float]]
    val_loss: float
    trained_on: dict[str, int]


def fit_kinds(
    pixels: Cutouts,
    labels: Indices,
    split: RowsByPart,
    values: dict[str, Any],
    options: KindClassifier,
    start: ModelBundle | None,
    identity: list[Any],
    work_folder: Path,
    log: Callable[[dict[str, float]], None],
) -> TrainedKinds:
    """Train on one split with one combination of values; `identity` says whose checkpoint may be taken over.

    Args:
        pixels: cutouts `(N, S, S, 3) uint8` of all parts.
        labels: position of the kind of each in `options.kinds`.
        split: rows to train on and to choose the epoch by.
        values: `batch_size`, `epochs`, `dropout`, `lr`.
        options: of the classifier.
        start: whose weights are fine-tuned; None starts from random ones.
        identity: what the checkpoint belongs to; its last entry is the name of the training.
        work_folder: keeps the checkpoint.
        log: called with each history row.
    """
    seed = seed_for(options.seed, "kinds", str(identity[-1]))
    train_pixels, train_labels = multiplied(pixels[split.train], labels[split.train], options, seed)
    torch.manual_seed(seed)
    network = build_network(len(options.kinds), pixels.shape[1], values["dropout"])
    if start is not None:
        fine_tuned_from(network, start, options)
    settings = options.training.model_copy(
        update={"batch_size": values["batch_size"], "epochs": values["epochs"], "lr": values["lr"]}
    )
    trained = fit_supervised(
        network,
        _Loss(len(options.kinds)),
        CropData(train_pixels, np.arange(len(train_pixels)), train_labels, seed),
        CropData(pixels, split.val, labels, seed),
        settings,
        seed=seed,
        identity=[*identity, values],
        work_folder=work_folder,
        compute=options.compute,
        on_epoch=log,
        name=options.name,
    )
    counts = np.bincount(train_labels, minlength=len(options.kinds))
    trained_on = {kind: int(n) for kind, n in zip(map(str, options.kinds), counts, strict=True)}
    return TrainedKinds(
        network.eval(), trained.history, trained.history[trained.best_epoch - 1]["val_loss"], trained_on
    )


def fine_tuned_from(network: nn.Module, start: ModelBundle, options: KindClassifier) -> None:
    """Load a trained classifier's weights; a last layer for other kinds starts anew (Rao et al. 2024, section 4.3).

    Raises:
        ConfigurationError: it was made for cutouts of another size.
    """
    state = network.state_dict()
    fitting = {
        name: value for name, value in start.weights.items() if name in state and state[name].shape == value.shape
    }
    last = next(reversed(state)).split(".")[0]
    if any(name not in fitting and not name.startswith(f"{last}.") for name in state):
        raise ConfigurationError(
            "weights to fine-tune do not fit",
            where=f"classifier {options.name}: first_weights.model {options.first_weights.model}",
            got=f"cutouts of {start.config['side_px']} px there",
            remedy="give both one side_px",
        )
    network.load_state_dict(fitting, strict=False)


class _Loss(nn.Module):
    """Binary cross-entropy of one logit, as published, or cross-entropy where there are more kinds."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.binary = kinds == 2

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch."""
        if self.binary:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), labels.float())
        return nn.functional.cross_entropy(logits.float(), labels)


def multiplied(pixels: Cutouts, labels: Indices, options: KindClassifier, seed: int) -> tuple[Cutouts, Indices]:
    """Training cutouts after augmentation and balancing (Rao et al. 2024, section 3.4).

    Augmented kinds come `copies` times, as they are and flipped and turned by up to 90 degrees; of the other kinds, at
    most `ratio` times as many as all augmented ones together are kept, drawn at random.
    """
    rng = np.random.default_rng(seed)
    rare = np.isin(labels, [options.kinds.index(kind) for kind in options.augmented if kind in options.kinds])
    vary = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5), Turn(90.0)])
    copies = []
    with drawn_from(seed):
        for each in pixels[rare]:
            image = torch.from_numpy(each).permute(2, 0, 1)
            copies += [vary(image).permute(1, 2, 0).numpy() for _ in range(options.copies - 1)]
    augmented = np.stack([*pixels[rare], *copies]) if rare.any() else pixels[:0]
    rare_labels = np.concatenate([labels[rare], np.repeat(labels[rare], options.copies - 1)])
    common = np.flatnonzero(~rare)
    most = round(options.ratio * len(augmented)) if rare.any() else len(common)
    chosen = np.sort(rng.permutation(common)[:most])
    return np.concatenate([pixels[chosen], augmented]), np.concatenate([labels[chosen], rare_labels]).astype(np.int64)
