"""Squares cut around red cells: as published, and so that neighbours and size can be seen."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.imaging.segmentation import BoolMask, RgbImage
from blood_kedro.library.overlap.options import CropOptions
from blood_kedro.library.overlap.regions import Boxes, SegmentedField


def cut_window(
    rgb: RgbImage, field: SegmentedField, component: int, box: npt.NDArray[np.float64], options: CropOptions
) -> tuple[RgbImage, BoolMask]:
    """The crop of a box as the options want it, and the component under the box in the same frame."""
    there = field.components == component if component else np.zeros_like(field.components, np.bool_)
    if options.window == "cells":
        middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
        side = round(options.window_cells * options.cell_px)
        crop = _window(rgb, middle, side, options.side_px, _background(rgb))
        small = there.astype(np.uint8)
        return crop, _window(small, middle * field.scale, max(2, round(side * field.scale)), options.side_px, (0,)) > 0
    mask = box_crop(there.astype(np.uint8), box * field.scale, options.side_px) > 0
    return box_crop(rgb, box, options.side_px), mask


def _background(rgb: RgbImage) -> tuple[float, ...]:
    """Colour of the light between cells."""
    return tuple(float(v) for v in np.percentile(rgb[::4, ::4].reshape(-1, 3), 80, axis=0))


def _window(
    image: npt.NDArray[np.uint8], middle: Boxes, side: int, side_px: int, beyond: tuple[float, ...]
) -> npt.NDArray[np.uint8]:
    """A square around a point, resized. Beyond the image there is background: no cell is drawn out into nothing."""
    left, top = (round(float(v) - side / 2) for v in middle)
    height, width = image.shape[:2]
    pad = max(0, -left, -top, left + side - width, top + side - height)
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=beyond) if pad else image
    window = padded[top + pad : top + pad + side, left + pad : left + pad + side]
    way = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_AREA if side_px < side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(window, (side_px, side_px), interpolation=way), np.uint8)


def box_crop(image: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], side_px: int) -> npt.NDArray[np.uint8]:
    """A box resized to a square, whatever its sides (Gurav et al. 2025, section 5 B)."""
    height, width = image.shape[:2]
    x0, y0 = min(int(box[0]), width - 1), min(int(box[1]), height - 1)
    x1, y1 = max(int(np.ceil(box[2])), x0 + 1), max(int(np.ceil(box[3])), y0 + 1)
    way = cv2.INTER_AREA if image.ndim == 3 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image[y0:y1, x0:x1], (side_px, side_px), interpolation=way), np.uint8)
