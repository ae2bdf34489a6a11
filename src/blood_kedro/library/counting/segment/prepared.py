"""A tile as segmenter and classifier see it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.segment.contrast import brightened, equalised

RgbImage = npt.NDArray[np.uint8]


def prepared(rgb: RgbImage, options: SegmentationOptions) -> tuple[RgbImage, float]:
    """A tile as segmenter and classifier see it, and by how many levels it was brightened."""
    bright, by = brightened(rgb, options.min_brightness)
    return (equalised(bright) if options.clahe else bright), by
