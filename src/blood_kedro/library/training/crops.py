"""Single-cell crops as tensors, with augmentation that depends on seed, epoch and cell alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.training.draws import drawn_from

Crops = npt.NDArray[np.uint8]
CropMasks = npt.NDArray[np.bool_]


def flips(rotation_deg: float = 0.0) -> v2.Transform:
    """Horizontal and vertical flips, and a turn by up to so many degrees (Elmanna et al. 2024, sections 4.2 and 4.3).

    What turns in from beyond the crop repeats its border, as does a neighbour's absence: no black corners.
    """
    turns = [Turn(rotation_deg)] if rotation_deg else []
    return v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5), *turns])


class Turn(v2.Transform):  # type: ignore[misc]
    """Turns a square image by up to `degrees`; the border is repeated outwards first."""

    def __init__(self, degrees: float) -> None:
        super().__init__()
        self.degrees = degrees

    def make_params(self, flat_inputs: list[object]) -> dict[str, float]:
        """One angle for all inputs."""
        return {"angle": float(torch.empty(1).uniform_(-self.degrees, self.degrees))}

    def transform(self, inpt: Tensor, params: dict[str, float]) -> Tensor:
        """Pad, turn, cut."""
        side = inpt.shape[-1]
        pad = int(np.ceil(side * 0.21))  # half of sqrt(2) - 1: the corners of a turned square
        padded = v2.functional.pad(inpt, [pad] * 4, padding_mode="edge")
        way = v2.InterpolationMode.NEAREST if isinstance(inpt, tv_tensors.Mask) else v2.InterpolationMode.BILINEAR
        turned = v2.functional.rotate(padded, params["angle"], interpolation=way)
        cut: Tensor = v2.functional.center_crop(turned, [side, side])
        return cut


class CropData(Dataset[tuple[Tensor, Tensor]]):
    """Cells by index, as for validation, or by `(epoch, index)`, augmented.

    An item is an image `(3, S, S) float32` in 0..1, and its label, `int64`, the probabilities of its classes,
    `(C,) float32`, or its mask `(1, S, S) float32` of 0 and 1.

    Args:
        crops: `(N, S, S, 3) uint8`, may be mapped.
        chosen: which of them, in order.
        targets: labels `(N,)`, probabilities `(N, C)`, or masks `(N, S, S) bool`.
        seed: decides the augmentation.
        augment: random; None leaves cells as they are.
        shown: `(N, S, S) bool`; outside of it the image is black (a segmented cell). None shows everything.
        keep_originals: an epoch has every cell as it is, and augmented copies after these: twice as many items.
    """

    def __init__(
        self,
        crops: Crops,
        chosen: npt.NDArray[np.int64],
        targets: npt.NDArray[np.int64] | npt.NDArray[np.float32] | CropMasks,
        seed: int,
        augment: v2.Transform | None = None,
        shown: CropMasks | None = None,
        *,
        keep_originals: bool = False,
    ) -> None:
        self.crops, self.chosen, self.targets = crops, chosen, targets
        self.seed, self.augment, self.shown = seed, augment, shown
        self.keep_originals = keep_originals

    def __len__(self) -> int:
        """Number of items: cells, and their copies."""
        return len(self.chosen) * (2 if self.keep_originals else 1)

    def __getitems__(self, items: list[int] | list[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
        """A batch, as loaders ask for it. Cells that are not augmented are read and converted all at once."""
        plain = [item for item in items if isinstance(item, int)]
        if len(plain) < len(items) or np.ndim(self.targets) == 3:
            return [self[item] for item in items]
        rows = self.chosen[np.array(plain) % len(self.chosen)]
        pixels = np.array(self.crops[rows])
        if self.shown is not None:
            pixels[~np.asarray(self.shown[rows])] = 0
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return list(zip(images, torch.from_numpy(np.asarray(self.targets[rows])), strict=True))

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A cell and its label or mask."""
        epoch, index = item if isinstance(item, tuple) else (None, item)
        cell = int(self.chosen[index % len(self.chosen)])
        shown_as_is = self.keep_originals and index < len(self.chosen)
        pixels = np.array(self.crops[cell])
        if self.shown is not None:
            pixels[~self.shown[cell]] = 0
        image: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        target = self.targets[cell]
        mask = tv_tensors.Mask(torch.from_numpy(np.array(target, np.uint8))[None]) if np.ndim(target) == 2 else None
        if epoch is not None and self.augment is not None and not shown_as_is:
            with drawn_from(seed_for(self.seed, "augment", epoch, cell)):
                image, mask = self.augment(image, mask) if mask is not None else (self.augment(image), None)
        wanted = torch.from_numpy(np.asarray(target)) if mask is None else mask.as_subclass(Tensor).float()
        return image.as_subclass(Tensor).float() / 255, wanted


def in_order(data: CropData, batch_size: int, workers: int = 0) -> DataLoader[tuple[Tensor, Tensor]]:
    """Every cell once, in order, as it is."""
    return DataLoader(data, batch_size, shuffle=False, num_workers=workers)


def unlabelled(crops: Crops, batch_size: int = 128) -> DataLoader[tuple[Tensor, Tensor]]:
    """Crops whose labels nobody knows, in order; the label of each is 0 and means nothing."""
    return in_order(CropData(crops, np.arange(len(crops)), np.zeros(len(crops), np.int64), 0), batch_size)
