"""Probabilities of a classifier of cells, over several orientations of each crop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from blood_kedro.library.shipped.networks import Floats, TypeLogits

Crops = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Logs = npt.NDArray[np.float64]


def log_probabilities(logits: TypeLogits, crops: Crops, views: int = 1, batch: int = 128) -> Logs:
    """Mean log-probabilities over views of each cell: as it is, mirrored, and turned by right angles.

    Args:
        logits: the network.
        crops: `(N, S, S, 3) uint8` without margins.
        views: 1, 2, 4 or 8 orientations.
        batch: cells at a time.

    Returns:
        `(N, C)`, rows whose exponentials sum to one.
    """
    parts = []
    for start in range(0, len(crops), batch):
        images = images_of(crops[start : start + batch])
        turned = (np.ascontiguousarray(orientation(images, k)) for k in range(views))
        logs = [softened(logits(each).astype(np.float64), 1.0) for each in turned]
        parts.append(softened(np.mean(logs, axis=0), 1.0))
    return np.concatenate(parts) if parts else np.zeros((0, 0))


def softened(logs: Logs, temperature: float, log_shares: Logs | None = None) -> Logs:
    """Log-probabilities `(N, C)` at a temperature, rows summing to one again.

    Args:
        logs: `(N, C)`.
        temperature: what they are divided by.
        log_shares: `(C,)`, log of how much commoner each class is than it was drawn in training (logit adjustment,
            Menon et al., ICLR 2021); None where all are as common as they were drawn.
    """
    scaled = logs / temperature
    if log_shares is not None:
        scaled = scaled + log_shares
    return np.asarray(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True), np.float64)


def images_of(crops: Crops) -> Floats:
    """`(N, S, S, 3) uint8` as `(N, 3, S, S) float32` in 0..1."""
    return np.ascontiguousarray(np.moveaxis(crops, 3, 1)).astype(np.float32) / np.float32(255)


def orientation(images: Floats, k: int) -> Floats:
    """One of the eight orientations of a square: mirrored if odd, and turned by a right angle for every two."""
    mirrored = images[..., ::-1] if k % 2 else images
    return np.rot90(mirrored, (0, 2, 1, 3)[k // 2], (2, 3))
