"""Windows that the cell detector is trained on: cut at random from pictures, turned, zoomed and recoloured."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from blood_kedro.library.core.boxes import Boxes, area
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.limits import LEFT_SHARE
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.augment import jittered
from blood_kedro.library.shipped.cell_loss import Goal, goal_of
from blood_kedro.library.shipped.cell_options import CellRecipe
from blood_kedro.library.shipped.pictures import LabelledPicture

Batch = tuple[npt.NDArray[np.uint8], list[Goal]]


class Windows(Dataset[Batch]):
    """Batches by number of the step: they depend on nothing else, so a killed training continues as it would have.

    Args:
        pictures: to train on.
        recipe: settings.
    """

    def __init__(self, pictures: Sequence[LabelledPicture], recipe: CellRecipe) -> None:
        self.recipe = recipe
        self.by_laboratory = {
            name: [each for each in pictures if each.laboratory == name]
            for name in sorted({each.laboratory for each in pictures})
        }
        shares = np.array([recipe.laboratories.get(name, 1.0) for name in self.by_laboratory])
        self.shares = shares / shares.sum()

    def __getitem__(self, step: int) -> Batch:
        """Batch of a step: pictures `(batch, H, W, 3) uint8` and what the maps should be."""
        windows = [self._window(seed_for(self.recipe.seed, "cells", step, k)) for k in range(self.recipe.batch)]
        return np.stack([pixels for pixels, _ in windows]), [goal for _, goal in windows]

    def _window(self, seed: int) -> tuple[RgbImage, Goal]:
        rng = np.random.default_rng(seed)
        mine = self.by_laboratory[str(rng.choice(list(self.by_laboratory), p=self.shares))]
        picture = mine[int(rng.integers(len(mine)))]
        side, limit = self.recipe.window_px, 1 + self.recipe.zoom
        pixels, boxes, ignore = _zoomed(picture, float(limit ** rng.uniform(-1, 1)))
        pixels, boxes, ignore = _turned(pixels, boxes, ignore, int(rng.integers(8)))
        window, corner = _cut(pixels, side, rng)
        boxes, labels, gone = _inside(boxes - np.tile(corner, 2), picture.labels, side)
        outside = np.concatenate([gone, ignore - np.tile(corner, 2)])
        if self.recipe.jitter is not None:
            window = jittered(window, rng, self.recipe.jitter)
        return window, goal_of(boxes, labels, outside, picture.known, (side, side))


def _zoomed(picture: LabelledPicture, zoom: float) -> tuple[RgbImage, Boxes, Boxes]:
    height, width = picture.pixels.shape[:2]
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(picture.pixels, size, interpolation=how), np.uint8)
    return pixels, picture.boxes * zoom, picture.ignore * zoom


def _turned(pixels: RgbImage, boxes: Boxes, ignore: Boxes, turn: int) -> tuple[RgbImage, Boxes, Boxes]:
    """One of the eight orientations of a square."""
    if turn & 1:
        width = pixels.shape[1]
        pixels = pixels[:, ::-1]
        boxes, ignore = (np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], 1) for b in (boxes, ignore))
    if turn & 2:
        height = pixels.shape[0]
        pixels = pixels[::-1]
        boxes, ignore = (np.stack([b[:, 0], height - b[:, 3], b[:, 2], height - b[:, 1]], 1) for b in (boxes, ignore))
    if turn & 4:
        pixels = pixels.transpose(1, 0, 2)
        boxes, ignore = (b[:, [1, 0, 3, 2]] for b in (boxes, ignore))
    return np.ascontiguousarray(pixels), boxes, ignore


def _cut(pixels: RgbImage, side: int, rng: np.random.Generator) -> tuple[RgbImage, npt.NDArray[np.float64]]:
    """A square at a random place, filled with the median colour where the picture ends; its corner in the picture."""
    height, width = pixels.shape[:2]
    left = int(rng.integers(min(0, width - side), max(0, width - side) + 1))
    top = int(rng.integers(min(0, height - side), max(0, height - side) + 1))
    window = np.empty((side, side, 3), np.uint8)
    window[:] = np.median(pixels[::4, ::4].reshape(-1, 3), axis=0)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    window[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    return window, np.array([left, top], np.float64)


def _inside(boxes: Boxes, labels: npt.NDArray[np.int64], side: int) -> tuple[Boxes, npt.NDArray[np.int64], Boxes]:
    """Boxes clipped to a window and their labels, and what is left of cells that are hardly in it."""
    clipped = np.clip(boxes, 0, side)
    share = area(clipped) / np.maximum(area(boxes), 1e-6)
    in_window = share >= LEFT_SHARE
    return clipped[in_window], labels[in_window], clipped[(share > 0) & ~in_window]
