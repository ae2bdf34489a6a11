"""The classifiers of red cells in boxes: the two of Gurav et al. 2025, and one that counts."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from blood_kedro.library.core.model_bundle import ModelBundle, rebuilt
from blood_kedro.library.overlap.rules import MOST_CELLS

NetworkName = Literal["base", "improved", "counting"]
CLASSES: dict[str, tuple[str, ...]] = {
    "base": ("single", "overlapping"),
    "improved": ("single", "overlapping"),
    "counting": tuple(f"cells_{k}" for k in range(1, MOST_CELLS + 1)),
}


class _Grey(nn.Module):
    """RGB `(N, 3, H, W)` in 0..1 to one channel of mean 0 and spread 1 in each image."""

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = images.unbind(dim=1)
        grey = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
        return (grey - grey.mean((2, 3), keepdim=True)) / (grey.std((2, 3), keepdim=True) + 1e-3)


def build_network(name: NetworkName, side_px: int) -> nn.Module:
    """A classifier of `(N, 3, S, S)` images in 0..1 with random weights; its outputs are logits of `CLASSES[name]`.

    `base`: two convolutions, each with ReLU and pooling, and two dense layers, on grey crops; `improved`: the same with
    dropout (Gurav et al. 2025, section 5 D; widths are not given there). `counting`: a small residual network on colour
    (timm's resnet10t), since 64 px crops of thousands of cells can feed more than two layers.
    """
    classes = len(CLASSES[name])
    if name == "counting":
        import timm

        network: nn.Module = timm.create_model("resnet10t", num_classes=classes)
        return network
    drop = 0.5 if name == "improved" else 0.0
    return nn.Sequential(
        _Grey(),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(drop),
        nn.Linear(32 * (side_px // 4) ** 2, 64),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Linear(64, classes),
    )


def load_network(bundle: ModelBundle) -> nn.Module:
    """The classifier of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe such a classifier, or the weights are not its own.
    """
    return rebuilt(bundle, lambda config: build_network(config["study"]["network"], int(config["side_px"])))
