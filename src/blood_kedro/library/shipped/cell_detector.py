"""The cell detector at work: cells of a picture of any size, at the scale of its red cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad
from torchvision.ops import batched_nms

from blood_kedro.library.core.boxes import BOX_COLUMNS, Boxes, area, intersection
from blood_kedro.library.core.limits import SAME_CELL_IOU
from blood_kedro.library.detection.tiled import Detections, detect_tiled
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.cell_loss import around
from blood_kedro.library.shipped.cell_options import CLASSES
from blood_kedro.library.shipped.centre_net import MULTIPLE, CentreNet
from blood_kedro.library.shipped.nucleated import with_nucleated

# Less sure middles are not looked at; at most so many of a tile are.
LEAST_SCORE, MOST_CELLS = 0.05, 1000
# Two boxes of one class that overlap more are one cell; red cells that lie on each other overlap less. It is not the
# common SAME_CELL_IOU: the thresholds that ship with the weights were chosen with it.
_NMS_IOU = 0.55
# A cell of another class that lies in a surer one to this share is part of it: a lobe, or a granule.
_PART_SHARE = 0.7
# Tiles in px at the network's scale; a white cell is up to 165 px wide there.
_TILE_PX, _OVERLAP_PX, _BATCH = 768, 192, 1


@dataclass(frozen=True)
class FoundCells:
    """Cells of a picture, surest first.

    `boxes (N, 4)` xyxy px of the picture; `labels` N of `rbc`, `wbc`, `platelet`; `scores (N,)` in 0..1; `cell_px` the
    width of a red cell at which the picture was read.
    """

    boxes: Boxes
    labels: list[str]
    scores: npt.NDArray[np.float64]
    cell_px: float

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.labels)

    def table(self) -> pd.DataFrame:
        """One row per cell: `label`, `score` and the box."""
        return pd.DataFrame(
            {"label": self.labels, "score": self.scores, **dict(zip(BOX_COLUMNS, self.boxes.T, strict=True))}
        )

    def counts(self) -> dict[str, int]:
        """Number of cells of each class."""
        return {name: self.labels.count(name) for name in CLASSES}


class AtScale(nn.Module):
    """The network as torchvision's detectors are: pictures in, boxes, labels and scores out, in px of the pictures.

    Args:
        network: maps of cells.
        zoom: pictures are made larger by this factor before the network sees them.
    """

    def __init__(self, network: CentreNet, zoom: float) -> None:
        super().__init__()
        self.network, self.zoom = network, zoom

    def forward(self, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
        """Cells of `(3, H, W) float32` pictures in 0..1."""
        return [self._cells(picture) for picture in pictures]

    def _cells(self, picture: Tensor) -> dict[str, Tensor]:
        height, width = (max(1, round(side * self.zoom)) for side in picture.shape[-2:])
        small = picture[None]
        if self.zoom != 1:
            small = interpolate(small, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        right, below = -width % MULTIPLE, -height % MULTIPLE
        fill = small[..., ::4, ::4].flatten(2).median(dim=2).values.view(1, 3, 1, 1)
        inputs = pad(small - fill, (0, right, 0, below)) + fill
        maps = self.network(inputs)
        chances = maps.middles.sigmoid()
        peaks = (chances == max_pool2d(chances, 3, stride=1, padding=1)) & (chances > LEAST_SCORE)
        boxes = around(maps.sides).permute(0, 1, 3, 4, 2)[peaks]
        scores, labels = chances[peaks], peaks.nonzero()[:, 1]
        limits = boxes.new_tensor([width, height, width, height])
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores, labels = boxes[real], scores[real], labels[real]
        indices = batched_nms(boxes, scores, labels, _NMS_IOU)[:MOST_CELLS]
        sides = boxes.new_tensor([picture.shape[2] / width, picture.shape[1] / height] * 2)
        return {"boxes": boxes[indices] * sides, "labels": labels[indices] + 1, "scores": scores[indices]}


def detect_at(network: CentreNet, rgb: RgbImage, zoom: float) -> Detections:
    """All cells of a picture `(H, W, 3) uint8`, tile by tile where it is large; labels from 1."""
    tile = round(_TILE_PX / zoom)
    longest = max(rgb.shape[:2])
    side, overlap = (tile, round(_OVERLAP_PX / zoom)) if longest > tile else (longest, max(longest // 4, 1))
    cells = detect_tiled(AtScale(network, zoom), rgb, _as_it_is, tile_px=side, overlap_px=overlap, batch_size=_BATCH)
    return without_parts(with_nucleated(cells, rgb))


def _as_it_is(picture: Tensor) -> Tensor:
    return picture


def without_parts(detections: Detections) -> Detections:
    """Without cells that lie in a surer cell of another class: of two names for one cell, the surer stays."""
    if len(detections.scores) == 0:
        return detections
    order = np.argsort(-detections.scores, kind="stable")
    boxes, labels, scores = detections.boxes[order], detections.labels[order], detections.scores[order]
    shared = intersection(boxes, boxes)
    inside = shared / np.maximum(area(boxes), 1e-9)[:, None]  # share of the row's cell in the column's
    either = np.minimum(area(boxes)[:, None], area(boxes)[None])
    same = shared / np.maximum(area(boxes)[:, None] + area(boxes)[None] - shared, 1e-9) > SAME_CELL_IOU
    white = CLASSES.index("wbc") + 1
    part = (inside > _PART_SHARE) & (labels[None] == white) & (either > 0)
    loses = np.tril((part | same) & (labels[:, None] != labels[None]), k=-1)
    stays = np.ones(len(scores), np.bool_)
    for k in range(len(scores)):
        stays[k] = not (loses[k] & stays).any()
    return Detections(boxes[stays], labels[stays], scores[stays])
