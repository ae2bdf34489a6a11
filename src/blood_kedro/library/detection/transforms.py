"""What a regimen does to images: a fixed preprocessing, and random augmentation while training.

Images are `(3, H, W) uint8` tensors, boxes `tv_tensors.BoundingBoxes` (XYXY, px). Normalisation is not here: the
network does it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.transforms import v2


def unsharp(image: Tensor, radius_px: float = 2.0, amount: float = 1.0) -> Tensor:
    """Unsharp mask of a `(3, H, W) uint8` image: `image + amount * (image - blurred)`, clipped to 0..255."""
    import torch
    from torchvision.transforms.v2 import functional

    values = image.to(torch.float32)
    blurred = functional.gaussian_blur(values, kernel_size=[int(4 * radius_px) | 1] * 2, sigma=[radius_px] * 2)
    sharp: Tensor = values + amount * (values - blurred)
    return sharp.round().clamp(0, 255).to(torch.uint8)


def preprocessing(name: str) -> Callable[[Tensor], Tensor]:
    """The part of an augmentation that is not random, and so also holds for validation and prediction.

    `paper_r1` sharpens (paper 000, III-E1; the paper gives no amounts: radius 2 px, amount 1).
    """
    return unsharp if name == "paper_r1" else (lambda image: image)


def augmentation(name: str) -> v2.Transform:
    """The random part of an augmentation.

    `paper_r1`: contrast and brightness +-20% (paper 000, III-E1). `paper_r2`: horizontal flip with probability 0.5 and
    colour jitter +-20%, hue +-5% (III-E2). The paper names the transforms and gives no amounts.
    """
    from torchvision.transforms import v2

    if name == "paper_r1":
        return v2.ColorJitter(brightness=0.2, contrast=0.2)
    if name == "paper_r2":
        jitter = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
        return v2.Compose([v2.RandomHorizontalFlip(0.5), jitter])
    return v2.Identity()
