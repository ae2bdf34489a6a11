"""The U-Net of single cells as a segmenter of tiles: watershed finds cells, the network draws each one's outline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import EIGHT, BoolMask, Piece, piece
from blood_kedro.library.counting.segment.watershed import watershed_pieces

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class UnetSegmenter:
    """Call it with tiles.

    The network saw one cell in the middle of each crop and learnt to take its neighbours for ground; so it is shown a
    window around each cell that watershed finds, and says where exactly that cell ends. Pixels that two cells claim go
    to the one whose middle is nearer.

    Attributes:
        predict: crops `(N, S, S, 3) uint8` to masks `(N, S, S) bool`.
        side_px: S.
        options: `cell_px` of the tile, `unet_cell_px` of the crops.
    """

    predict: Callable[[RgbImage], BoolMask]
    side_px: int
    options: SegmentationOptions

    def __call__(self, _name: str, rgb: RgbImage, _rejects: RejectLog) -> list[Piece]:
        """Cells of a tile."""
        if min(rgb.shape[:2]) < self.options.cell_px / 4:
            return []
        settings = self.options.watershed.model_copy(update={"cell_px": self.options.cell_px})
        first = watershed_pieces(rgb, settings)
        if not first:
            return []
        scale = self.options.unet_cell_px / self.options.cell_px
        side = round(self.side_px / scale)
        padded = cv2.copyMakeBorder(rgb, side, side, side, side, cv2.BORDER_REPLICATE)
        corners = [tuple(round(c - side / 2) for c in _middle(each)) for each in first]
        windows = [padded[y + side : y + 2 * side, x + side : x + 2 * side] for x, y in corners]
        crops = np.stack([cv2.resize(w, (self.side_px, self.side_px), interpolation=cv2.INTER_AREA) for w in windows])
        masks = self.predict(np.asarray(crops, np.uint8))
        pieces = []
        for each, corner, mask in zip(first, corners, masks, strict=True):
            back = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR) > 0.5
            drawn = _inside(_central(back, each, corner), corner, rgb.shape)
            # What the network does not take for a cell is left as watershed found it, for the filter to judge.
            pieces.append(each if drawn is None else drawn)
        return _apart(pieces)


def _middle(each: Piece) -> tuple[float, float]:
    x_min, y_min, x_max, y_max = each.box_xyxy_px
    return (x_min + x_max) / 2, (y_min + y_max) / 2


def _central(mask: BoolMask, each: Piece, corner: tuple[int, ...]) -> BoolMask:
    """The connected part of a window's mask that shares most pixels with the cell it was cut around."""
    labels, count = ndimage.label(mask, EIGHT)
    if count < 2:
        return mask
    cell = each.moved(-corner[0], -corner[1]).clipped((0, 0, mask.shape[1], mask.shape[0]))
    votes = np.bincount(labels[cell.window][cell.mask], minlength=count + 1) if cell else np.zeros(count + 1)
    votes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == votes.argmax()), np.bool_)


def _inside(mask: BoolMask, corner: tuple[int, ...], shape: tuple[int, ...]) -> Piece | None:
    """A window's mask as a piece of the tile; None if nothing of it lies there."""
    cut = piece(mask, corner[0], corner[1])
    return None if cut is None else cut.clipped((0, 0, shape[1], shape[0]))


def _apart(pieces: list[Piece]) -> list[Piece]:
    """Pieces of which each pixel belongs to one alone: the one whose middle is nearest."""
    boxes = np.array([each.box_xyxy_px for each in pieces])
    width, height = (int(v) for v in boxes[:, 2:].max(axis=0))
    nearest = np.full((height, width), np.inf, np.float32)
    owner = np.full((height, width), -1, np.int32)
    for number, each in enumerate(pieces):
        x, y = _middle(each)
        rows, columns = np.mgrid[each.window]
        distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x).astype(np.float32)
        better = each.mask & (distance < nearest[each.window])
        nearest[each.window][better] = distance[better]
        owner[each.window][better] = number
    cut = (piece(owner[each.window] == number, each.left, each.top) for number, each in enumerate(pieces))
    return [each for each in cut if each is not None]
