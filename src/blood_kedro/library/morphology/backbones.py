"""Networks that classify single cells: `model` of an entry of `morphology.classifiers`.

They stand here and not above the topics because a saved model is rebuilt by name wherever it is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blood_kedro.library.training import packaged_weights
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS

if TYPE_CHECKING:
    from torch import Tensor, nn

Config = Mapping[str, Any]


class ClassifierBackbone(ABC):
    """A network of `(N, 3, S, S)` images in 0..1 to logits `(N, classes)`."""

    @abstractmethod
    def rebuilt(self, options: Config, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
        """The network of a saved model, with any weights.

        Args:
            options: `Classifier` as config.json has it.
            classes: their number.
            weights: of the saved model, for what depends on their shapes.
        """


@dataclass(frozen=True)
class TimmClassifier(ClassifierBackbone):
    """A network of timm, by its name there; all of it learns."""

    timm_name: str

    def build(self, classes: int) -> nn.Module:
        """With random weights."""
        import timm

        network: nn.Module = timm.create_model(self.timm_name, num_classes=classes)
        return network

    def rebuilt(self, options: Config, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:  # noqa: ARG002
        """As it was built."""
        return self.build(classes)


class CutMobileNet(TimmClassifier):
    """MobileNetV3 of timm up to its last block, then one linear layer: the network whose size Table 5 gives."""

    def build(self, classes: int) -> nn.Module:
        """With random weights."""
        from blood_kedro.library.morphology.timm_changed import cut_mobilenet

        return cut_mobilenet(self.timm_name, classes)


class PackagedLite0(TimmClassifier):
    """EfficientNet-Lite0, whose ImageNet weights an installed package has; images come to mean and deviation 0.5."""

    def build(self, classes: int) -> nn.Module:
        """With random weights."""
        from blood_kedro.library.morphology.timm_changed import normalised

        network = super().build(classes)
        network.register_forward_pre_hook(normalised)
        return network


@dataclass(frozen=True)
class FoundationModel(ClassifierBackbone):
    """A foundation model of blood cells whose features stay as they are; a `probe` is fitted to them."""

    def rebuilt(self, options: Config, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
        """The transformer and its head."""
        from blood_kedro.library.training.foundation import build_probe

        return build_probe(options["probe"], classes, weights)


# The timm models whose parameter counts are those of Table 5 (docs/facts/versions.md#sizes-of-timms-networks), the one
# whose ImageNet weights need no download, and foundation models.
CLASSIFIER_BACKBONES: dict[str, ClassifierBackbone] = {
    "efficientnet_b0": TimmClassifier("efficientnet_b0"),
    "efficientnet_b1": TimmClassifier("efficientnet_b1"),
    "efficientnet_v2_b0": TimmClassifier("tf_efficientnetv2_b0"),
    "resnet50": TimmClassifier("resnet50"),
    "resnet50_v2": TimmClassifier("resnetv2_50"),
    "xception": TimmClassifier("legacy_xception"),
    "densenet121": TimmClassifier("densenet121"),
    "mobilenet_v3_small": CutMobileNet("mobilenetv3_small_100"),
    "mobilenet_v3_large": CutMobileNet("mobilenetv3_large_100"),
    "convnext_tiny": TimmClassifier("convnext_tiny"),
    "efficientnet_lite0": PackagedLite0(packaged_weights.TIMM_NAME),
    **{name: FoundationModel() for name in FOUNDATION_MODELS},
}


def timm_backbone(model: str) -> TimmClassifier:
    """The network of a name that is trained as a whole.

    Raises:
        KeyError: there is none of this name.
        TypeError: it is a foundation model.
    """
    backbone = CLASSIFIER_BACKBONES[model]
    if not isinstance(backbone, TimmClassifier):
        raise TypeError(f"{model} is no network of timm that could be trained")
    return backbone
