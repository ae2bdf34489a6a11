"""What the cell detector is taught: bells over the middles of cells, and boxes around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from blood_kedro.library.core.boxes import Boxes, area
from blood_kedro.library.shipped.cell_options import STRIDE
from blood_kedro.library.shipped.centre_net import Maps

Floats = npt.NDArray[np.float32]

# Deviation of a bell, as a share of the box's side, and the least in places of the map (TTFNet, section 3.2).
_BELL, _LEAST = 0.12, 0.5
# Boxes are learnt where the bell is higher than this.
_CORE = 0.45
# A bell is drawn so many deviations around its middle; beyond it is below 0.0004.
_REACH = 4
# A label of too little area to see has no middle.
_MIN_SIDE_PX = 2.0


@dataclass(frozen=True)
class Goal:
    """What the maps of one picture should be.

    `bells (C, h, w)` in 0..1; `counted (C, h, w)` 1 where the loss looks; `boxes (C, 4, h, w)` xyxy px and
    `weight (C, h, w)`, 1 in sum over each cell; `middles (C, h, w)` 1 at the middle of each cell.
    """

    bells: Floats
    counted: Floats
    boxes: Floats
    weight: Floats
    middles: Floats


def goal_of(
    boxes: Boxes, labels: npt.NDArray[np.int64], ignore: Boxes, known: tuple[bool, ...], size_px: tuple[int, int]
) -> Goal:
    """Targets of a picture.

    Args:
        boxes: `(N, 4)` xyxy px, inside the picture.
        labels: `(N,)` number of the class, from 0.
        ignore: `(K, 4)` regions where nothing is counted.
        known: for each class, whether it is labelled wherever it shows.
        size_px: height and width of the picture, multiples of `STRIDE`.
    """
    classes, (height, width) = len(known), (size_px[0] // STRIDE, size_px[1] // STRIDE)
    bells, weight = np.zeros((2, classes, height, width), np.float32)
    middles = np.zeros((classes, height, width), np.float32)
    targets = np.zeros((classes, 4, height, width), np.float32)
    owner = np.full((classes, height, width), -1, np.int64)
    counted = np.ones((classes, height, width), np.float32)
    counted[~np.array(known)] = 0
    for x0, y0, x1, y1 in ignore / STRIDE:
        counted[:, max(int(y0), 0) : int(np.ceil(y1)), max(int(x0), 0) : int(np.ceil(x1))] = 0
    # Small cells last: where two share a place, it speaks for the smaller.
    for k in np.argsort(-area(boxes)):
        sides = boxes[k, 2:] - boxes[k, :2]
        if sides.min() < _MIN_SIDE_PX:
            continue
        c = int(labels[k])
        x, y = (boxes[k, :2] + boxes[k, 2:]) / 2 / STRIDE - 0.5
        column, row = int(np.clip(round(x), 0, width - 1)), int(np.clip(round(y), 0, height - 1))
        sx, sy = np.maximum(_BELL * sides / STRIDE, _LEAST)
        rows, columns = _around(row, sy, height), _around(column, sx, width)
        across, down = (np.arange(part.start, part.stop, dtype=np.float32) for part in (columns, rows))
        bell = np.exp(-((across - column) ** 2) / (2 * sx**2) - (down[:, None] - row) ** 2 / (2 * sy**2))
        place = (c, rows, columns)
        bells[place] = np.maximum(bells[place], bell)
        core = bell > _CORE
        owner[place][core] = k
        weight[place][core] = bell[core]
        targets[c][:, rows, columns][:, core] = boxes[k, :, None]
        middles[c, row, column] = 1
        counted[place][core] = 1
    mine = owner >= 0
    weight[mine] /= np.bincount(owner[mine], weight[mine], len(boxes))[owner[mine]]
    return Goal(bells, counted, targets, weight, middles)


def _around(middle: int, deviation: float, size: int) -> slice:
    reach = int(np.ceil(_REACH * deviation))
    return slice(max(0, middle - reach), min(size, middle + reach + 1))


def cell_loss(maps: Maps, goals: list[Goal], class_weights: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Loss of the middles (focal, CornerNet's equation 1) and of the boxes (GIoU), each per cell.

    Args:
        maps: what the network says.
        goals: what it should say, one for each picture.
        class_weights: how much a cell of each class, and a place that is none, counts.
    """
    bells, counted, boxes, weight, middles = (
        torch.from_numpy(np.stack([getattr(goal, name) for goal in goals])).to(maps.middles.device)
        for name in ("bells", "counted", "boxes", "weight", "middles")
    )
    classes = torch.tensor(class_weights, device=maps.middles.device).view(1, -1, 1, 1)
    weight = weight * classes
    cells = (classes * middles).sum().clamp(min=1)
    chance = maps.middles.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = middles * (1 - chance) ** 2 * chance.log()
    miss = (1 - middles) * counted * (1 - bells) ** 4 * chance**2 * (1 - chance).log()
    where = weight > 0
    predicted = around(maps.sides).permute(0, 1, 3, 4, 2)[where]
    target = boxes.permute(0, 1, 3, 4, 2)[where]
    box = (generalized_box_iou_loss(predicted, target) * weight[where]).sum()
    return -(classes * (hit + miss)).sum() / cells, box / cells


def around(sides: Tensor) -> Tensor:
    """Boxes `(N, C, 4, h, w)` xyxy px of distances from each place of the map to the four sides."""
    height, width = sides.shape[-2:]
    y = (torch.arange(height, device=sides.device) + 0.5).view(-1, 1) * STRIDE
    x = (torch.arange(width, device=sides.device) + 0.5).view(1, -1) * STRIDE
    left, top, right, bottom = sides.unbind(2)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=2)
