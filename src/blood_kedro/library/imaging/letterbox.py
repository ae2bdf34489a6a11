"""Algorithm 1 of Sahay 2025, lines 5 to 20: scale to a square canvas and move boxes along."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies on the canvas.

    `scale = target / max(width, height)`; new size and padding are floored. The floors use whole numbers:
    in floating point 309 * (512 / 412) is 383.99... instead of 384, which would lose a row.
    """

    width_px: int
    height_px: int
    target_px: int

    @property
    def scale(self) -> float:
        """Canvas px per image px."""
        return self.target_px / max(self.width_px, self.height_px)

    @property
    def new_size_px(self) -> tuple[int, int]:
        """Width and height of the scaled image, at least 1 px."""
        longer = max(self.width_px, self.height_px)
        return max(1, self.width_px * self.target_px // longer), max(1, self.height_px * self.target_px // longer)

    @property
    def padding_px(self) -> tuple[int, int]:
        """Canvas px to the left of and above the image."""
        width, height = self.new_size_px
        return (self.target_px - width) // 2, (self.target_px - height) // 2

    def boxes(self, boxes_px: Boxes) -> Boxes:
        """Boxes `(N, 4)` xyxy of the image, in px of the canvas."""
        pad_x, pad_y = self.padding_px
        return np.asarray(boxes_px * self.scale + np.array([pad_x, pad_y, pad_x, pad_y]), np.float64)

    def image(self, rgb: RgbImage) -> RgbImage:
        """The canvas `(target, target, 3) uint8`, black around the scaled image."""
        width, height = self.new_size_px
        pad_x, pad_y = self.padding_px
        method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        canvas = np.zeros((self.target_px, self.target_px, 3), np.uint8)
        canvas[pad_y : pad_y + height, pad_x : pad_x + width] = cv2.resize(rgb, (width, height), interpolation=method)
        return canvas
