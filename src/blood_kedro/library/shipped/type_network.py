"""The network of the shipped classifiers: EfficientNet-Lite0 of images in 0..1, its first stages left as they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from blood_kedro.library.shipped.networks import Floats, TypeLogits
from blood_kedro.library.training import packaged_weights
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS

if TYPE_CHECKING:
    from blood_kedro.library.shipped.type_options import TypeRecipe


class CellTypeNet(nn.Module):
    """Logits `(N, classes)` of `(N, 3, S, S) float32` images in 0..1.

    Args:
        classes: their number.
        dropout: before the last layer.
        drop_path: of whole blocks.
    """

    def __init__(self, classes: int, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        import timm

        super().__init__()
        self.body: nn.Module = timm.create_model(
            packaged_weights.TIMM_NAME, num_classes=classes, drop_rate=dropout, drop_path_rate=drop_path
        )
        self._frozen: list[nn.Module] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.body(_standardized(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees of images as of `forward`: `(N, F)`."""
        seen = self.body.forward_features(_standardized(images))  # type: ignore[operator]
        features: Tensor = self.body.forward_head(seen, pre_logits=True)  # type: ignore[operator]
        return features

    @property
    def head(self) -> nn.Linear:
        """The last layer, from features to logits."""
        return cast("nn.Linear", self.body.classifier)

    def freeze(self, stages: int) -> None:
        """Leave the stem and the first stages as they are, statistics of batch norm included; 0 freezes nothing."""
        if stages == 0:
            return
        body = self.body
        self._frozen = [body.conv_stem, body.bn1, *list(body.blocks)[:stages]]  # type: ignore[list-item, arg-type]
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> CellTypeNet:
        """As torch's, but frozen stages never learn statistics."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self


def as_images(crops: npt.NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """Crops `(N, S, S, 3) uint8` as `(N, 3, S, S) float32` in 0..1, channels last, on a device (None: the CPU)."""
    images = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    return images.contiguous(memory_format=torch.channels_last)


def logits_by_torch(network: nn.Module) -> TypeLogits:
    """What a network says where it is, on a GPU, say; it is left in evaluation mode."""
    network.eval()
    device = next((each.device for each in network.state_dict().values()), None)

    def logits(images: Floats) -> Floats:
        with torch.inference_mode():
            seen = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return np.asarray(network(seen).float().cpu().numpy())

    return logits


def _standardized(images: Tensor) -> Tensor:
    (mean, *_), (deviation, *_) = packaged_weights.NORMALIZATION  # the same in all channels
    return (images - mean) / deviation


def network_for(recipe: TypeRecipe, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network with random weights that trained ones can be loaded into."""
    from blood_kedro.library.training.foundation import build_probe

    if recipe.model in FOUNDATION_MODELS:
        return build_probe(recipe.probe, classes, weights)
    return CellTypeNet(classes).to(memory_format=torch.channels_last)


def first_network(classes: int, recipe: TypeRecipe) -> CellTypeNet:
    """A network at the start of its training, its head silent.

    Raises:
        WeightsNotFoundError: the package of ImageNet weights is not installed.
    """
    network = CellTypeNet(classes, recipe.dropout, recipe.drop_path)
    if recipe.first_weights.kind == "imagenet":
        state = network.body.state_dict()
        pretrained = {n: v for n, v in packaged_weights.efficientnet_lite0().items() if state[n].shape == v.shape}
        network.body.load_state_dict(pretrained, strict=False)
        network.freeze(recipe.frozen_stages)
    # A head of usual size starts at a loss far above that of guessing, and its first steps spoil the body.
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network.to(memory_format=torch.channels_last)
