"""Pictures of smears put together from what was kept of their tiles when they were segmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.journal import read_look
from blood_kedro.library.counting.segment.looks import SeenTile

RgbImage = npt.NDArray[np.uint8]
# Left, top, right, bottom in the picture.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class CornerLook:
    """As much of a smear as a figure shows, from its upper left corner: `most_px` in both directions.

    Attributes:
        smear: the only one that the figure shows.
        most_px: see above.
    """

    smear: str
    most_px: int

    @property
    def name(self) -> str:
        """With the size of the corner."""
        return f"corner_{self.most_px}"

    def wants(self, smear: Smear, place: Place) -> bool:
        """Tiles that begin in the corner."""
        return smear.name == self.smear and place.left < self.most_px and place.top < self.most_px

    def __call__(self, tile: SeenTile, _pieces: Sequence[Piece]) -> pd.DataFrame:
        """The part of a tile that the figure shows."""
        left, top, right, bottom = self.window(tile.smear, tile.place)
        return _pixel_table(tile.rgb[: bottom - top, : right - left])

    def window(self, smear: Smear, place: Place) -> Window:
        """Where the tile lies in the corner."""
        width, height = min(smear.grid.width_px, self.most_px), min(smear.grid.height_px, self.most_px)
        return place.left, place.top, min(width, place.left + place.width), min(height, place.top + place.height)


@dataclass(frozen=True)
class ReducedLook:
    """The whole smear with sides of at most `most_px`."""

    most_px: int

    @property
    def name(self) -> str:
        """With the size of the picture."""
        return f"reduced_{self.most_px}"

    def wants(self, smear: Smear, place: Place) -> bool:
        """Tiles that are at least a pixel there."""
        left, top, right, bottom = self.window(smear, place)
        return right > left and bottom > top

    def __call__(self, tile: SeenTile, _pieces: Sequence[Piece]) -> pd.DataFrame:
        """The tile in the size that it has there."""
        left, top, right, bottom = self.window(tile.smear, tile.place)
        return _pixel_table(cv2.resize(tile.rgb, (right - left, bottom - top), interpolation=cv2.INTER_AREA))

    def scale(self, smear: Smear) -> float:
        """Pixels of the picture for one of the smear."""
        return min(1.0, self.most_px / max(smear.grid.width_px, smear.grid.height_px))

    def size(self, smear: Smear) -> tuple[int, int]:
        """Width and height of the picture."""
        scale = self.scale(smear)
        return max(1, round(smear.grid.width_px * scale)), max(1, round(smear.grid.height_px * scale))

    def window(self, smear: Smear, place: Place) -> Window:
        """Where the tile lies in the picture."""
        scale, (width, height) = self.scale(smear), self.size(smear)
        right, bottom = round((place.left + place.width) * scale), round((place.top + place.height) * scale)
        return round(place.left * scale), round(place.top * scale), min(width, right), min(height, bottom)


def corner(smear: Smear, folder: Path, look: CornerLook) -> RgbImage:
    """The corner `(h, w, 3)`; holes of a grid, and tiles that could not be read, are white."""
    width, height = min(smear.grid.width_px, look.most_px), min(smear.grid.height_px, look.most_px)
    return _together(smear, folder, look, (width, height), look.window)


def reduced(smear: Smear, folder: Path, look: ReducedLook) -> tuple[RgbImage, float]:
    """The whole smear `(h, w, 3)` and its scale; holes of a grid, and tiles that could not be read, are white."""
    return _together(smear, folder, look, look.size(smear), look.window), look.scale(smear)


def _together(
    smear: Smear,
    folder: Path,
    look: CornerLook | ReducedLook,
    size: tuple[int, int],
    window: Callable[[Smear, Place], Window],
) -> RgbImage:
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)  # white
    for place in smear.grid.places:
        pixel_table = read_look(folder, place.name, look.name) if look.wants(smear, place) else None
        if pixel_table is not None:
            left, top, right, bottom = window(smear, place)
            canvas[top:bottom, left:right] = _pixels(pixel_table)
    return canvas


def _pixel_table(rgb: npt.NDArray[np.generic]) -> pd.DataFrame:
    height, width = rgb.shape[:2]
    pixels = np.ascontiguousarray(rgb, np.uint8).tobytes()
    return pd.DataFrame({"height_px": [height], "width_px": [width], "pixels": [pixels]})


def _pixels(look: pd.DataFrame) -> RgbImage:
    row = look.iloc[0]
    return np.frombuffer(row["pixels"], np.uint8).reshape(int(row["height_px"]), int(row["width_px"]), 3)
