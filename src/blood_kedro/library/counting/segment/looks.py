"""What later steps want to see of a tile, taken while it is in memory: each tile is read and prepared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.prepared import prepared

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SeenTile:
    """A tile in memory: its place in a smear, and its pixels as they were read, `(H, W, 3) uint8`."""

    smear: Smear
    place: Place
    rgb: RgbImage
    options: SegmentationOptions

    @cached_property
    def prepared(self) -> tuple[RgbImage, float]:
        """Pixels as segmenter and classifier see them, and by how many levels they were brightened."""
        return prepared(self.rgb, self.options)


class Look(Protocol):
    """What one step wants to see of tiles; it is sent to other processes."""

    @property
    def name(self) -> str:
        """Names the folder that it is kept in; other content, another name."""

    def wants(self, smear: Smear, place: Place, /) -> bool:
        """Whether anything of this tile is wanted."""

    def __call__(self, tile: SeenTile, pieces: Sequence[Piece], /) -> pd.DataFrame:
        """What is wanted of a tile and of the masks that are kept of it, px of the tile, cut to its core."""
