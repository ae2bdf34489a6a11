"""Probabilities of a classifier of cells, over several orientations of each crop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Crops = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def as_images(crops: Crops, device: torch.device | None = None) -> Tensor:
    """Crops `(N, S, S, 3) uint8` as `(N, 3, S, S) float32` in 0..1, channels last, on a device (None: the CPU)."""
    images = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    return images.contiguous(memory_format=torch.channels_last)


def log_probabilities(network: nn.Module, crops: Crops, views: int = 1, batch: int = 128) -> npt.NDArray[np.float64]:
    """Mean log-probabilities over views of each cell: as it is, mirrored, and turned by right angles.

    Args:
        network: of images in 0..1.
        crops: `(N, S, S, 3) uint8` without margins.
        views: 1, 2, 4 or 8 orientations.
        batch: cells at a time.

    Returns:
        `(N, C)`, rows whose exponentials sum to one.
    """
    if not len(crops):
        return np.zeros((0, 0))
    logits = torch.from_numpy(outputs_by_view(network, network, crops, views, batch))
    return np.asarray(logits.log_softmax(2).mean(1).log_softmax(1).double().numpy())


def outputs_by_view(
    network: nn.Module, output: Callable[[Tensor], Tensor], crops: Crops, views: int = 1, batch: int = 128
) -> npt.NDArray[np.float32]:
    """What a network, or a part of it, gives for each orientation of each crop.

    Args:
        network: is put into evaluation mode.
        output: of the network, of images in 0..1 on its device, `(N, K)`.
        crops: `(N, S, S, 3) uint8` without margins, at least one.
        views: 1, 2, 4 or 8 orientations.
        batch: cells at a time.

    Returns:
        `(N, views, K)`.
    """
    network.eval()
    device = next((each.device for each in network.state_dict().values()), None)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), batch):
            images = as_images(crops[start : start + batch], device)
            turned = [_orientation(images, k).contiguous(memory_format=torch.channels_last) for k in range(views)]
            parts.append(torch.stack([output(each) for each in turned], dim=1).cpu())
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _orientation(images: Tensor, k: int) -> Tensor:
    """One of the eight orientations of a square: mirrored if odd, and turned by a right angle for every two."""
    mirrored = images.flip(3) if k % 2 else images
    return mirrored.rot90((0, 2, 1, 3)[k // 2], (2, 3))
