"""What a segmenter is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.registry import Choice
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece

# Name and pixels `(H, W, 3) uint8` of a tile to its masks, px of the tile; what cannot be used goes to the rejects.
# It is sent to other processes. What it has of these decides, besides options, whether finished tiles are taken over:
#   `rests_on`: a folder whose files decide its masks;  `weights_sha256`: a digest of weights that it carries itself.
# With `in_one_process` true all tiles are done where it was made: one model, which may be on a GPU.
Segment = Callable[[str, npt.NDArray[np.uint8], RejectLog], list[Piece]]
SegmentationOptionsT = TypeVar("SegmentationOptionsT", bound=SegmentationOptions)


class TileSegmenter(Choice[SegmentationOptionsT]):
    """What the `segmenter` of an input stands for. It is made when pipelines are wired, so it holds options alone.

    Attributes:
        tells_kinds: whether its masks say what kind of cell they are.
    """

    Options = SegmentationOptions
    tells_kinds: ClassVar[bool] = False

    @abstractmethod
    def ready(self) -> Segment:
        """What finds the masks of a tile, ready to be called or sent to other processes.

        Raises:
            WeightsNotFoundError: its weights, or its masks, are not there.
        """

    def model(self) -> str | None:
        """A sentence on the model of this project that it uses; None where it uses none."""
        return None

    def learnt_from(self) -> dict[str, Any] | None:
        """What its model says of itself, so that no image that it learnt from judges a count; None where none learnt.

        Raises:
            ConfigurationError: it learnt from images of sources, and from which ones is not known.
        """
        return None
