"""Images and boxes for a detector, in an order and with augmentations that depend only on seed and epoch.

That is what lets a killed training continue and end with the same weights (docs/facts/versions.md#resuming-a-training).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.ops import box_area, clip_boxes_to_image

from blood_kedro.library.core.boxes import from_coco
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.limits import LEFT_SHARE
from blood_kedro.library.core.taxonomy import labelled_by
from blood_kedro.library.detection.copy_paste import Paster
from blood_kedro.library.detection.transforms import preprocessing, random_augmentation
from blood_kedro.library.training.draws import drawn_from

Sample = tuple[Tensor, dict[str, Tensor]]


class DetectionData(Dataset[Sample]):
    """Images of a COCO json.

    An item is `(image, target)`: image `(3, H, W) float32` in 0..1; target holds `boxes` `(N, 4) float32` xyxy px,
    `labels` `(N,) int64` (category ids, from 1), `image_id`, `ignore` `(K, 4) float32` (the boxes of ignore regions,
    `iscrowd`; plain Faster R-CNN does not look at them) and `source`, its number in `labelled_by`.

    Args:
        coco: content of a COCO json.
        images: folder of its files.
        augment: the augmentation (`transforms.named`); its random part acts where items are asked for by epoch.
        seed: decides the random part.
        paster: pastes cells into images that are asked for by epoch.
        train_px: images that are asked for by epoch are shrunk to this side before they are augmented: what the network
            would do later, done while there are more pixels than it sees. None leaves them as they are.
    """

    def __init__(
        self,
        coco: dict[str, Any],
        images: Path,
        augment: str | Sequence[str],
        seed: int,
        paster: Paster | None = None,
        train_px: int | None = None,
    ) -> None:
        self.paster, self.train_px = paster, train_px
        self.records, self.folder, self.seed = coco["images"], images, seed
        self.sources = {name: number for number, name in enumerate(labelled_by(coco))}
        self.prepare, self.augment = preprocessing(augment), random_augmentation(augment)
        self.annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.regions: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in coco["annotations"]:
            by_image = self.regions if annotation.get("iscrowd") else self.annotations
            by_image[annotation["image_id"]].append(annotation)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def __getitem__(self, item: int | tuple[int, int]) -> Sample:
        """Item by index (as for validation), or by `(epoch, index)` with random augmentation."""
        epoch, index = item if isinstance(item, tuple) else (None, item)
        record = self.records[index]
        pixels = self._pixels(record["file_name"])
        rows = self.annotations[record["id"]]
        labels = [row["category_id"] for row in rows]
        boxes, regions = (_tensor(annotated) for annotated in (rows, self.regions[record["id"]]))
        if self.paster is not None and epoch is not None:
            array, pasted_boxes, pasted_labels = self.paster(pixels.permute(1, 2, 0).numpy(), record["id"], epoch)
            pixels = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)
            boxes = torch.cat([boxes, torch.from_numpy(pasted_boxes).to(torch.float32)])
            labels += pasted_labels
        prepared = self.prepare(pixels)
        if epoch is not None and self.train_px is not None and self.train_px < max(pixels.shape[1:]):
            scale = self.train_px / max(pixels.shape[1:])
            prepared, boxes, regions = _shrunk(prepared, scale), boxes * scale, regions * scale
        canvas = (prepared.shape[1], prepared.shape[2])
        image: Tensor = tv_tensors.Image(prepared)
        wrapped = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas)
        ignored = tv_tensors.BoundingBoxes(regions, format="XYXY", canvas_size=canvas)
        if epoch is not None:
            with drawn_from(seed_for(self.seed, "augment", epoch, index)):
                image, wrapped, ignored = self.augment(image, wrapped, ignored)
        (boxes, visible), (regions, _) = _inside(wrapped, canvas), _inside(ignored, canvas)
        target = {
            "boxes": boxes,
            "labels": torch.tensor(labels, dtype=torch.int64)[visible],
            "image_id": torch.tensor(record["id"]),
            "ignore": regions,
            "source": torch.tensor(self.sources.get(record.get("source"), -1)),
        }
        return image.as_subclass(Tensor).to(torch.float32) / 255, target

    def _pixels(self, file_name: str) -> Tensor:
        path = self.folder / file_name
        try:
            pixels: Tensor = decode_image(str(path), ImageReadMode.RGB)
        except RuntimeError as error:
            raise FileNotFoundError(
                f"image of the unified corpus cannot be read: {path}; run merging again ({error})"
            ) from error
        return pixels


def _shrunk(image: Tensor, scale: float) -> Tensor:
    """A `(3, H, W) uint8` image resized as torchvision's detectors do it."""
    side = [round(length * scale) for length in image.shape[1:]]
    small = interpolate(image[None].to(torch.float32), side, mode="bilinear", align_corners=False)[0]
    return small.round().to(torch.uint8)


def _inside(boxes: Tensor, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes cut to the canvas (height, width), and which were kept: those of which enough is left to be a cell."""
    plain = boxes.as_subclass(Tensor)
    cut = clip_boxes_to_image(plain, canvas)
    visible = box_area(cut) >= LEFT_SHARE * box_area(plain)
    visible &= (cut[:, 2:] - cut[:, :2] >= 1).all(dim=1)
    return cut[visible], visible


def _tensor(rows: list[dict[str, Any]]) -> Tensor:
    return torch.from_numpy(from_coco(rows)).to(torch.float32)


def collate(batch: list[Sample]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Images differ in nothing but content, targets in length: keep both as lists."""
    return [image for image, _ in batch], [target for _, target in batch]


def eval_loader(
    data: DetectionData, batch_size: int, workers: int, rank: int = 0, world: int = 1
) -> DataLoader[Sample]:
    """Every image once, in order, without augmentation; of several processes, each has every `world`-th."""
    mine = range(rank, len(data), world)
    return DataLoader(data, batch_size, sampler=mine, collate_fn=collate, num_workers=workers)


def channel_statistics(
    data: DetectionData, seed: int, sample: int = 300
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per RGB channel, images in 0..1, over a seeded sample, one image at a time."""
    chosen = np.random.default_rng((seed, 1)).permutation(len(data))[:sample]
    total, squares, pixels = np.zeros(3), np.zeros(3), 0
    for index in chosen:
        image = data[int(index)][0].double()
        total += image.sum(dim=(1, 2)).numpy()
        squares += (image**2).sum(dim=(1, 2)).numpy()
        pixels += image.shape[1] * image.shape[2]
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-6))
    return tuple(float(v) for v in mean), tuple(float(v) for v in std)
