"""The U-Net of Ronneberger et al. (MICCAI 2015), as Elmanna et al. 2024, section 4.2, describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STEPS = 4


class ClassicUnet(nn.Module):
    """Images `(N, 3, S, S)` in 0..1 to logits `(N, 1, S, S)`; S is a multiple of 16.

    On the way down, four times: two 3x3 convolutions, each with ReLU and batch normalisation, and 2x2 pooling; each
    level has twice the channels of the one above. On the way up: a 2x2 up-convolution to half the channels, the
    features of the same level from the way down beside it, and two 3x3 convolutions with ReLU. Neither depth nor
    channels are given in Elmanna et al. 2024; they are Ronneberger's. Borders are padded, so that a mask has the
    size of its crop.

    Args:
        width: channels of the first level.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(_STEPS + 1)]
        self.down = nn.ModuleList(
            _convolutions(before, after, normalised=True)
            for before, after in zip([3, *channels[:-1]], channels, strict=True)
        )
        below = channels[:0:-1]
        self.widen = nn.ModuleList(nn.ConvTranspose2d(deep, deep // 2, 2, stride=2) for deep in below)
        self.up = nn.ModuleList(_convolutions(deep, deep // 2, normalised=False) for deep in below)
        self.last = nn.Conv2d(width, 1, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the cell, pixel by pixel."""
        features, beside = images, []
        for level, convolutions in enumerate(self.down):
            features = convolutions(self.pool(features) if level else features)
            beside.append(features)
        for widen, convolutions, same in zip(self.widen, self.up, reversed(beside[:-1]), strict=True):
            features = convolutions(torch.cat([same, widen(features)], dim=1))
        logits: Tensor = self.last(features)
        return logits


def _convolutions(before: int, after: int, *, normalised: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1), nn.ReLU()]
        layers += [nn.BatchNorm2d(after)] if normalised else []
    return nn.Sequential(*layers)
