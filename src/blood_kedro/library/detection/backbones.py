"""Bodies of detectors with their feature pyramids: `network.backbone` of a regimen.

They stand here and not above the topics because a saved detector is rebuilt by name wherever it is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blood_kedro.library.training import packaged_weights
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    # From weights that torchvision publishes to tensors by name.
    Fetch = Callable[[WeightsEnum], dict[str, Tensor]]

_TORCHVISION_CHANNELS = 256


def norm_layer(name: str) -> Callable[[int], nn.Module]:
    """Makes the normalisation of a layer: `batch`, `frozen_batch` or `group` (8 groups)."""
    from torch import nn
    from torchvision.ops.misc import FrozenBatchNorm2d

    layers: dict[str, Callable[[int], nn.Module]] = {
        "batch": nn.BatchNorm2d,
        "frozen_batch": FrozenBatchNorm2d,
        "group": lambda channels: nn.GroupNorm(8, channels),
    }
    return layers[name]


class DetectorBackbone(ABC):
    """A body with a feature pyramid, as torchvision's detectors want it (`out_channels`, levels by name).

    Attributes:
        channels: of the pyramid, where they cannot be chosen; else None.
        norms: kinds of normalisation that it can have.
        normalization: mean and deviation per channel, images in 0..1, that its ImageNet weights were trained with.
    """

    channels: int | None = None
    norms: tuple[str, ...] = ("batch", "frozen_batch", "group")
    normalization: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD)

    @abstractmethod
    def build(self, norm: str, channels: int) -> nn.Module:
        """With random weights.

        Args:
            norm: one of `norms`.
            channels: of each level of the pyramid.
        """

    @abstractmethod
    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:
        """Weights of a classifier that has this body, and where they come from.

        Args:
            fetch: downloads weights of torchvision, or raises WeightsNotFoundError.

        Raises:
            WeightsNotFoundError: they cannot be had.
        """

    def body_of(self, classifier: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the body, as it names them, from those of such a classifier."""
        return {name: value for name, value in classifier.items() if not name.startswith("fc.")}


def _torchvision(name: str, fetch: Fetch) -> tuple[dict[str, Tensor], str]:
    """Weights of the first ImageNet training that torchvision has of a network."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(name)["IMAGENET1K_V1"]
    return fetch(weights), f"torchvision {weights}"


@dataclass(frozen=True)
class ResNetFpn(DetectorBackbone):
    """A ResNet of torchvision, by its name there: its `resnet_fpn_backbone`, but for the width, which that fixes."""

    torchvision_name: str

    def build(self, norm: str, channels: int) -> nn.Module:
        """With random weights."""
        from torchvision.models import get_model
        from torchvision.models.detection import backbone_utils

        body = get_model(self.torchvision_name, weights=None, norm_layer=norm_layer(norm))
        layers = {f"layer{k + 1}": str(k) for k in range(4)}
        widths = [body.inplanes // 8 * 2**k for k in range(4)]
        pyramid: nn.Module = backbone_utils.BackboneWithFPN(
            body, layers, widths, channels, backbone_utils.LastLevelMaxPool()
        )
        return pyramid

    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:
        """Of torchvision's classifier of this name."""
        return _torchvision(self.torchvision_name, fetch)


class ResNet50FpnV2(DetectorBackbone):
    """torchvision's ResNet-50 of `fasterrcnn_resnet50_fpn_v2`."""

    channels = _TORCHVISION_CHANNELS

    def build(self, norm: str, channels: int) -> nn.Module:  # noqa: ARG002 - fixed
        """With random weights."""
        from torchvision.models import resnet50
        from torchvision.models.detection import backbone_utils

        layer = norm_layer(norm)
        pyramid: nn.Module = backbone_utils._resnet_fpn_extractor(resnet50(norm_layer=layer), 5, norm_layer=layer)
        return pyramid

    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:
        """Of torchvision's ResNet-50."""
        return _torchvision("resnet50", fetch)


class MobileNetV3Fpn(DetectorBackbone):
    """torchvision's MobileNetV3 Large with a pyramid of three levels."""

    channels = _TORCHVISION_CHANNELS

    def build(self, norm: str, channels: int) -> nn.Module:  # noqa: ARG002 - fixed
        """With random weights."""
        from torchvision.models.detection import backbone_utils

        pyramid: nn.Module = backbone_utils.mobilenet_backbone(
            backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=norm_layer(norm), trainable_layers=6
        )
        return pyramid

    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:
        """Of torchvision's classifier."""
        return _torchvision("mobilenet_v3_large", fetch)

    def body_of(self, classifier: dict[str, Tensor]) -> dict[str, Tensor]:
        """Its `features`."""
        return {n.removeprefix("features."): value for n, value in classifier.items() if n.startswith("features.")}


@dataclass(frozen=True)
class TimmPyramid(DetectorBackbone):
    """A network of timm with four levels of stride 4 to 32, by its name there; it keeps its batch norm."""

    timm_name: str
    norms = ("batch", "frozen_batch")

    def build(self, norm: str, channels: int) -> nn.Module:
        """With random weights."""
        from blood_kedro.library.detection.timm_fpn import timm_fpn

        return timm_fpn(self.timm_name, channels, frozen_norm=norm == "frozen_batch")

    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:  # noqa: ARG002 - timm fetches its own
        """Of timm's body of this name."""
        from blood_kedro.library.detection.timm_fpn import imagenet_body

        return imagenet_body(self.timm_name), f"timm {self.timm_name}"

    def body_of(self, classifier: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them: timm gives, and a file is to hold, the body alone."""
        return classifier


class PackagedLite0Fpn(TimmPyramid):
    """EfficientNet-Lite0 of timm, whose ImageNet weights an installed package has."""

    normalization = packaged_weights.NORMALIZATION

    def imagenet(self, fetch: Fetch) -> tuple[dict[str, Tensor], str]:  # noqa: ARG002 - nothing is downloaded
        """Of the installed package."""
        return packaged_weights.efficientnet_lite0(), packaged_weights.ORIGIN

    def body_of(self, classifier: dict[str, Tensor]) -> dict[str, Tensor]:
        """All but what the classifier has behind its last feature map."""
        after = ("conv_head.", "bn2.", "classifier.")
        return {name: value for name, value in classifier.items() if not name.startswith(after)}


DETECTOR_BACKBONES: dict[str, DetectorBackbone] = {
    "resnet50_fpn": ResNetFpn("resnet50"),
    "resnet50_fpn_v2": ResNet50FpnV2(),
    "resnet18_fpn": ResNetFpn("resnet18"),
    "mobilenet_v3_320": MobileNetV3Fpn(),
    "efficientnet_lite0_fpn": PackagedLite0Fpn(packaged_weights.TIMM_NAME),
}
