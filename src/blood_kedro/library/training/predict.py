"""Applying a trained network to single cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.training.options import Hardware


def device_for(settings: Hardware) -> torch.device:
    """A GPU, where there is one and the settings allow it: Lightning takes a network back to the CPU after training.

    Raises:
        ConfigurationError: the settings ask for a GPU, and there is none.
    """
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigurationError(
            "there is no GPU",
            where="accelerator",
            got="gpu",
            expected="auto or cpu",
            remedy="set accelerator: auto, or run on a machine with one",
        )
    allowed = settings.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if allowed else "cpu")


def device_name(settings: Hardware) -> str:
    """What the settings train on, in words."""
    device = device_for(settings)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def outputs(network: nn.Module, loader: Any) -> Iterator[Tensor]:
    """What a network gives for each batch of a loader, on the CPU; the network is left in evaluation mode."""
    device = next(network.parameters()).device
    network.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for images, _ in loader:
            yield network(images.to(device, memory_format=torch.channels_last)).cpu()
