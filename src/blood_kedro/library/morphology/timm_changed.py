"""What is changed of networks of timm: a MobileNetV3 of its published size, images as EfficientNet-Lite0 saw them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from blood_kedro.library.training import packaged_weights


class _CutMobileNet(nn.Module):
    """MobileNetV3 up to its last block, then one linear layer."""

    def __init__(self, body: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.body, self.classifier = body, nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, classes)`."""
        features: Tensor = self.body.forward_features(images)  # type: ignore[operator]
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


def cut_mobilenet(timm_name: str, classes: int) -> nn.Module:
    """A MobileNetV3 of timm without what its published size leaves out, with random weights."""
    import timm

    body: Any = timm.create_model(timm_name, num_classes=0)
    channels = int(body.conv_head.in_channels)
    body.conv_head, body.norm_head, body.act2 = nn.Identity(), nn.Identity(), nn.Identity()
    return _CutMobileNet(body, channels, classes)


def normalised(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ARG001 - a hook
    """Images in 0..1 as EfficientNet-Lite0 was trained on them."""
    (mean, *_), (deviation, *_) = packaged_weights.NORMALIZATION  # the same in all channels
    return ((inputs[0] - mean) / deviation,)
