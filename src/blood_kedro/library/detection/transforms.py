"""What a regimen does to images: a fixed preprocessing, and random augmentation while training.

Images are `(3, H, W) uint8` tensors, boxes `tv_tensors.BoundingBoxes` (XYXY, px). Normalisation is not here: the
network does it, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.transforms import v2

# The two augmentations of Sahay 2025 (sections III-E1 and III-E2); it names the transforms and gives no amounts.
PAPER = {"none": (), "paper_r1": ("sharpen", "brightness_contrast"), "paper_r2": ("flip", "colour_jitter")}

# Done to every image, in training or not.
FIXED = ("sharpen",)

# Made from torchvision's `v2`, which is handed in: checking names must not cost its import.
_RANDOM: dict[str, Callable[[Any], v2.Transform]] = {
    "brightness_contrast": lambda v2: v2.ColorJitter(brightness=0.2, contrast=0.2),
    "colour_jitter": lambda v2: v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05),
    "flip": lambda v2: v2.RandomHorizontalFlip(0.5),
    "flip_vertical": lambda v2: v2.RandomVerticalFlip(0.5),
    # Smears have no up: quarter turns cost no resampling.
    "quarter_turn": lambda v2: v2.RandomApply([v2.RandomRotation((90, 90))], 0.5),
    # Scanners differ in px per um by about this much (docs/facts/data.md#bccd-scale, docs/facts/data.md#chula-scale).
    "zoom": lambda v2: v2.RandomAffine(0, translate=(0.1, 0.1), scale=(0.7, 1.4)),
    "blur": lambda v2: v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.5))], 0.3),
}


def named(augmentation: str | Sequence[str]) -> tuple[str, ...]:
    """Names of the transforms of an augmentation, which is a name of `PAPER` or a list of transforms.

    Raises:
        ConfigurationError: a name is unknown.
    """
    names = PAPER.get(augmentation, (augmentation,)) if isinstance(augmentation, str) else tuple(augmentation)
    known = {*FIXED, *_RANDOM}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(
            "unknown augmentation",
            where="regimen: augmentation",
            got=", ".join(unknown),
            expected=f"{', '.join(PAPER)}, or a list of {', '.join(sorted(known))}",
        )
    return names


def unsharp(image: Tensor, radius_px: float = 2.0, amount: float = 1.0) -> Tensor:
    """Unsharp mask of a `(3, H, W) uint8` image: `image + amount * (image - blurred)`, clipped to 0..255."""
    import torch
    from torchvision.transforms.v2 import functional

    values = image.to(torch.float32)
    blurred = functional.gaussian_blur(values, kernel_size=[int(4 * radius_px) | 1] * 2, sigma=[radius_px] * 2)
    sharp: Tensor = values + amount * (values - blurred)
    return sharp.round().clamp(0, 255).to(torch.uint8)


def preprocessing(augmentation: str | Sequence[str]) -> Callable[[Tensor], Tensor]:
    """The part of an augmentation that is not random, and so also holds for validation and prediction.

    `sharpen` is an unsharp mask (Sahay 2025, III-E1; radius 2 px, amount 1 are ours).
    """
    return unsharp if "sharpen" in named(augmentation) else (lambda image: image)


def random_augmentation(augmentation: str | Sequence[str]) -> v2.Transform:
    """The random part of an augmentation, in the order of its names."""
    from torchvision.transforms import v2

    chosen = [_RANDOM[name](v2) for name in named(augmentation) if name not in FIXED]
    return v2.Compose(chosen) if chosen else v2.Identity()
