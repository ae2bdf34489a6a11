"""Applying a trained network to single cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.training.options import Compute


def device_for(compute: Compute) -> torch.device:
    """A GPU, where there is one and it is allowed: Lightning takes a network back to the CPU after training.

    Raises:
        ConfigurationError: a GPU is asked for, and there is none.
    """
    if compute.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigurationError(
            "there is no GPU",
            where="compute.accelerator",
            got="gpu",
            expected="auto or cpu",
            remedy="set compute.accelerator: auto, or run on a machine with one",
        )
    allowed = compute.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if allowed else "cpu")


def device_name(compute: Compute) -> str:
    """What is trained on, in words."""
    device = device_for(compute)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def outputs(network: nn.Module, loader: Any) -> Iterator[Tensor]:
    """What a network gives for each batch of a loader, on the CPU; the network is left in evaluation mode."""
    device = next(network.parameters()).device
    network.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for images, _ in loader:
            yield network(images.to(device, memory_format=torch.channels_last)).cpu()
