"""A feature pyramid over a timm network, as torchvision's detectors want it."""

from __future__ import annotations

from collections import OrderedDict

import timm
from timm.utils.model import freeze_batch_norm_2d  # type: ignore[attr-defined]  # timm names no exports
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from blood_kedro.library.core.errors import WeightsNotFoundError

# Stride 4 to 32.
_LEVELS = (1, 2, 3, 4)


class TimmFpn(nn.Module):
    """Levels of stride 4, 8, 16, 32 and 64 (names `0`, `1`, `2`, `3`, `pool`) of equal width.

    Args:
        body: a timm network made with `features_only`, four levels of stride 4 to 32.
        channels: of each level of the pyramid.
    """

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body, self.out_channels = body, channels
        widths: list[int] = body.feature_info.channels()  # type: ignore[union-attr, operator]
        self.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by level of `(N, 3, H, W)` images."""
        levels: dict[str, Tensor] = self.fpn(OrderedDict((str(k), level) for k, level in enumerate(self.body(images))))
        return levels


def imagenet_body(timm_name: str) -> dict[str, Tensor]:
    """ImageNet weights of the body of `timm_fpn`, from timm's hub.

    Raises:
        WeightsNotFoundError: they cannot be downloaded, or there are none.
    """
    try:
        body: nn.Module = timm.create_model(timm_name, features_only=True, out_indices=_LEVELS, pretrained=True)
    except Exception as error:  # timm and its hub raise many kinds, none of which may end in random weights
        raise WeightsNotFoundError(
            f"ImageNet weights of {timm_name} cannot be downloaded, and random ones are not put in their place",
            got=f"{type(error).__name__}: {error}",
            remedy="save those of its body elsewhere and set the path of the first weights, or choose kind: random",
        ) from error
    return body.state_dict()


def timm_fpn(timm_name: str, channels: int, *, frozen_norm: bool) -> TimmFpn:
    """A network of timm with random weights; `frozen_norm` keeps batch norm at the statistics it is loaded with."""
    body: nn.Module = timm.create_model(timm_name, features_only=True, out_indices=_LEVELS)
    return TimmFpn(freeze_batch_norm_2d(body) if frozen_norm else body, channels)
