"""The network of the cell detector: each place says whether it is the middle of a cell, and how far the borders are.

A feature pyramid over EfficientNet-Lite0 that ends at a quarter of the picture, with two heads, after CenterNet (Zhou
et al. 2019) and TTFNet (Liu et al., AAAI 2020). Each class has a map of its own, so that a class that a source does not
label can be left out of the loss, and a platelet on a red cell has a box of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import timm
import torch
from timm.utils.model import freeze_batch_norm_2d  # type: ignore[attr-defined]  # timm names no exports
from torch import Tensor, nn
from torch.nn.functional import interpolate

from blood_kedro.library.shipped.cell_options import BASE_PX
from blood_kedro.library.training.packaged_weights import NORMALIZATION, TIMM_NAME, efficientnet_lite0

_WIDTHS = (24, 40, 112, 320)
_PRIOR = -4.6  # logit of 0.01: most places are no middle of a cell


@dataclass(frozen=True)
class Maps:
    """What the network says of `(N, 3, H, W)` pictures, at a quarter of their size.

    `middles (N, C, h, w)` logits; `sides (N, C, 4, h, w)` distances to left, top, right and bottom, px.
    """

    middles: Tensor
    sides: Tensor


class CentreNet(nn.Module):
    """Maps of cells.

    Args:
        classes: number of classes.
        channels: of the pyramid and the heads.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.classes = classes
        body: nn.Module = timm.create_model(TIMM_NAME, features_only=True, out_indices=(1, 2, 3, 4))
        self.body = freeze_batch_norm_2d(body)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in _WIDTHS)
        self.merge = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in _WIDTHS[:-1])
        self.middle_tower = nn.Conv2d(channels, channels, 3, padding=1)
        self.side_tower = nn.Conv2d(channels, channels, 3, padding=1)
        self.middle = nn.Conv2d(channels, classes, 1)
        self.side = nn.Conv2d(channels, 4 * classes, 1)
        self._start()

    def _start(self) -> None:
        for layer in chain(self.lateral, self.merge, (self.middle_tower, self.side_tower)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for layer in (self.middle, self.side):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.middle.bias, _PRIOR)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Maps:
        """Maps of `(N, 3, H, W) float32` pictures in 0..1, H and W multiples of `MULTIPLE`."""
        mean, std = (torch.tensor(v, device=pictures.device).view(1, 3, 1, 1) for v in NORMALIZATION)
        levels = self.body(((pictures - mean) / std).contiguous(memory_format=torch.channels_last))
        merged = torch.relu(self.lateral[-1](levels[-1]))
        for level, lateral, merge in zip(levels[-2::-1], self.lateral[-2::-1], self.merge[::-1], strict=True):
            up = interpolate(merged, size=level.shape[-2:], mode="nearest")
            merged = torch.relu(merge(up + lateral(level)))
        middles = self.middle(torch.relu(self.middle_tower(merged)))
        sides = self.side(torch.relu(self.side_tower(merged)))
        n, _, height, width = sides.shape
        return Maps(middles, sides.clamp(-4, 4).exp().mul(BASE_PX).view(n, self.classes, 4, height, width))


def imagenet_centre_net(classes: int, channels: int) -> CentreNet:
    """The network with ImageNet weights in its backbone."""
    network = CentreNet(classes, channels)
    pretrained = efficientnet_lite0()
    state = network.body.state_dict()
    network.body.load_state_dict({name: pretrained[name] for name in state})
    return network


def freeze_stages(network: CentreNet, stages: int) -> None:
    """Keep the stem and the first stages of the backbone as they are: half of the cost of a step is theirs."""
    if stages:
        for name in ("conv_stem", "bn1", *(f"blocks.{k}" for k in range(stages))):
            for parameter in network.body.get_submodule(name).parameters():
                parameter.requires_grad_(False)
