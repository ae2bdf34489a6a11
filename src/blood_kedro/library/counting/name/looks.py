"""What naming sees of the masks of a tile: nuclear stain, or the pixels that a classifier is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.counting.name.stain import ground_light
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.looks import SeenTile
from blood_kedro.library.imaging.measures import violet

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
_LIGHT = ["light_r", "light_g", "light_b"]


class StainLook:
    """Column `nuclear_stain`: the share of a mask that is stained as nuclei are, 0..1."""

    name = "stain"

    def wants(self, _smear: Smear, _place: Place) -> bool:
        """All tiles."""
        return True

    def __call__(self, tile: SeenTile, pieces: Sequence[Piece]) -> pd.DataFrame:
        """One row per mask."""
        rgb, _ = tile.prepared
        stain = violet(-np.log(np.clip(rgb, 1, 255) / np.maximum(ground_light(rgb), 1)))
        shares = [float(stain[each.window][each.mask].mean()) for each in pieces]
        return pd.DataFrame({"nuclear_stain": np.array(shares, np.float64)})


class PixelsLook:
    """Column `pixels`: those in the box of a mask, neighbours included; and the light of the tile's ground."""

    name = "pixels"

    def wants(self, _smear: Smear, _place: Place) -> bool:
        """All tiles."""
        return True

    def __call__(self, tile: SeenTile, pieces: Sequence[Piece]) -> pd.DataFrame:
        """One row per mask."""
        rgb, _ = tile.prepared
        light = ground_light(rgb)
        pixels = [np.ascontiguousarray(rgb[each.window]).tobytes() for each in pieces]
        return pd.DataFrame({"pixels": pixels, **{name: light[k] for k, name in enumerate(_LIGHT)}})


def pixels_of(look: pd.DataFrame, pieces: Sequence[Piece]) -> Iterator[tuple[RgbImage, Floats]]:
    """Pixels `(h, w, 3) uint8` in the box of each mask, and the light of its ground `(3,)`."""
    lights = look[_LIGHT].to_numpy(np.float64)
    for each, pixels, light in zip(pieces, look["pixels"], lights, strict=True):
        yield np.frombuffer(pixels, np.uint8).reshape(*each.mask.shape, 3), light
