"""Connected parts of masks, their areas and windows: one pass of OpenCV for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

BoolMask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Parts:
    """Connected parts of a mask; neighbours share a side (not only a corner).

    Attributes:
        labels: `(H, W) int32`, from 1 in the order of their first pixels; 0 outside the mask.
        boxes_xywh_px: `(N + 1, 4) int32`: left, top, width, height of each label; row 0 is what lies outside.
        areas_px2: `(N + 1,) int32`, row 0 likewise.
        centres_xy_px: `(N + 1, 2) float64`, of the pixels' top left corners.
    """

    labels: Labels
    boxes_xywh_px: npt.NDArray[np.int32]
    areas_px2: npt.NDArray[np.int32]
    centres_xy_px: npt.NDArray[np.float64]

    @property
    def enclosed(self) -> BoolMask:
        """`(N + 1,)`: parts that touch no border of the picture; not row 0."""
        left, top, width, height = self.boxes_xywh_px.T
        inside = (left > 0) & (top > 0) & (left + width < self.labels.shape[1]) & (top + height < self.labels.shape[0])
        inside[0] = False
        return np.asarray(inside, np.bool_)

    def window(self, label: int) -> tuple[slice, slice]:
        """Box of a label, as an index into a picture."""
        left, top, width, height = self.boxes_xywh_px[label].tolist()
        return slice(top, top + height), slice(left, left + width)


def components(mask: BoolMask) -> Parts:
    """Connected parts of a mask `(H, W) bool`, as `scipy.ndimage.label` numbers them."""
    _, labels, stats, centres = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=4)
    measures = np.asarray(stats, np.int32)
    return Parts(
        np.asarray(labels, np.int32), measures[:, :4], measures[:, cv2.CC_STAT_AREA], np.asarray(centres, np.float64)
    )


def holes(mask: BoolMask) -> Parts:
    """Parts of what is not in a mask; those that are `enclosed` are its holes, as `binary_fill_holes` finds them."""
    return components(~mask)


def opened(mask: BoolMask, iterations: int) -> BoolMask:
    """Opening by a cross, so many times, as `scipy.ndimage.binary_opening`: what lies beyond the border is no cell."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    smaller = cv2.erode(
        np.asarray(mask, np.uint8), cross, iterations=iterations, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(cv2.dilate(smaller, cross, iterations=iterations), np.bool_)


def windows_of(labels: Labels) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Each label above 0 that has pixels, and its box as an index into `labels (H, W) int32`."""
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            rows, columns = window
            yield number, (rows, columns)
