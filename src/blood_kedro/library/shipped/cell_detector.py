"""The cell detector at work: cells of a picture of any size, at the scale of its red cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from blood_kedro.library.core.boxes import BOX_COLUMNS, Boxes, area, overlapping_pairs
from blood_kedro.library.core.limits import SAME_CELL_IOU
from blood_kedro.library.detection.tiled import Detections, find_in_tiles
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.cell_options import CLASSES, MULTIPLE, STRIDE
from blood_kedro.library.shipped.networks import CellMaps
from blood_kedro.library.shipped.nucleated import with_nucleated

# Less sure middles are not looked at; at most so many of a tile are.
LEAST_SCORE, MOST_CELLS = 0.05, 1000
# Two boxes of one class that overlap more are one cell; red cells that lie on each other overlap less. It is not the
# common SAME_CELL_IOU: the thresholds that ship with the weights were chosen with it.
_NMS_IOU = 0.55
# A cell of another class that lies in a surer one to this share is part of it: a lobe, or a granule.
_PART_SHARE = 0.7
# Tiles in px at the network's scale; a white cell is up to 165 px wide there.
_TILE_PX, _OVERLAP_PX = 768, 192


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


def detect_at(maps: CellMaps, rgb: RgbImage, zoom: float) -> Detections:
    """All cells of a picture `(H, W, 3) uint8`, tile by tile where it is large; labels from 1.

    Args:
        maps: the network.
        rgb: the picture.
        zoom: it is made larger by this factor before the network sees it.
    """
    tile = round(_TILE_PX / zoom)
    longest = max(rgb.shape[:2])
    side, overlap = (tile, round(_OVERLAP_PX / zoom)) if longest > tile else (longest, max(longest // 4, 1))

    def find(pictures: list[RgbImage]) -> list[Detections]:
        return [cells_of(maps, picture, zoom) for picture in pictures]

    cells = find_in_tiles(find, rgb, tile_px=side, overlap_px=overlap, batch_size=1)
    return without_parts(with_nucleated(cells, rgb))


def cells_of(maps: CellMaps, rgb: RgbImage, zoom: float) -> Detections:
    """Cells of a picture that is small enough to be seen at once; arguments and result as of `detect_at`."""
    height, width = (max(1, round(side * zoom)) for side in rgb.shape[:2])
    middles, sides = maps(_padded(scaled(rgb, (width, height)))[None])
    scores = 1 / (1 + np.exp(-middles[0]))
    highest = np.stack([cv2.dilate(of_class, np.ones((3, 3))) for of_class in scores])
    labels, rows, columns = np.nonzero((scores == highest) & (scores > LEAST_SCORE))
    y, x = (rows + np.float32(0.5)) * STRIDE, (columns + np.float32(0.5)) * STRIDE
    left, top, right, bottom = sides[0][labels, :, rows, columns].T
    boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    boxes = np.clip(boxes, 0, np.array([width, height] * 2, np.float32)).astype(np.float64)
    surest = scores[labels, rows, columns].astype(np.float64)
    real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, labels, surest = boxes[real], labels[real], surest[real]
    indices = _apart(boxes, labels, surest)[:MOST_CELLS]
    px = np.array([rgb.shape[1] / width, rgb.shape[0] / height] * 2)
    return Detections(boxes[indices] * px, labels[indices] + 1, surest[indices])


def scaled(rgb: RgbImage, size_px: tuple[int, int]) -> npt.NDArray[np.float32]:
    """A picture `(H, W, 3) uint8` as `(3, height, width) float32` in 0..1, made smaller without aliasing.

    As PyTorch's `interpolate(mode="bilinear", antialias=True)`, with which the network was trained and judged.
    """
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(rgb, 2, 0)]
    if size_px != (rgb.shape[1], rgb.shape[0]):
        planes = [plane.resize(size_px, Image.Resampling.BILINEAR) for plane in planes]
    return np.asarray(np.stack([np.asarray(plane) for plane in planes]) / np.float32(255), np.float32)


def _padded(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """With its own median colour at the right and below, up to sides that the network takes."""
    _, height, width = picture.shape
    few = np.sort(picture[:, ::4, ::4].reshape(3, -1), axis=1)
    ground = few[:, (few.shape[1] - 1) // 2]
    canvas = np.empty((3, height + -height % MULTIPLE, width + -width % MULTIPLE), np.float32)
    canvas[:] = ground[:, None, None]
    canvas[:, :height, :width] = picture
    return canvas


def _apart(boxes: Boxes, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Of boxes of one class that overlap too much the surest: their numbers, surest first."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    corners_and_sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    indices = cv2.dnn.NMSBoxesBatched(corners_and_sides, scores, labels, 0.0, _NMS_IOU)  # type: ignore[arg-type]
    return np.asarray(indices, np.int64).reshape(-1)


def without_parts(detections: Detections) -> Detections:
    """Without cells that lie in a surer cell of another class: of two names for one cell, the surer stays."""
    if len(detections.scores) == 0:
        return detections
    order = np.argsort(-detections.scores, kind="stable")
    boxes, labels, scores = detections.boxes[order], detections.labels[order], detections.scores[order]
    weaker, surer = overlapping_pairs(boxes)
    asked = (weaker > surer) & (labels[weaker] != labels[surer])
    weaker, surer = weaker[asked], surer[asked]
    low, high = np.maximum(boxes[weaker, :2], boxes[surer, :2]), np.minimum(boxes[weaker, 2:], boxes[surer, 2:])
    shared, areas = np.clip(high - low, 0, None).prod(axis=1), area(boxes)
    same = shared / np.maximum(areas[weaker] + areas[surer] - shared, 1e-9) > SAME_CELL_IOU
    part = (shared / np.maximum(areas[weaker], 1e-9) > _PART_SHARE) & (labels[surer] == CLASSES.index("wbc") + 1)
    loses = part | same
    stays = np.ones(len(scores), np.bool_)
    for one, other in zip(weaker[loses], surer[loses], strict=True):  # in order of `weaker`: the surer is decided
        stays[one] &= not stays[other]
    return Detections(boxes[stays], labels[stays], scores[stays])
