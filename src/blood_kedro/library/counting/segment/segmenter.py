"""What a segmenter is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.pieces import Piece

# Name and pixels `(H, W, 3) uint8` of a tile to its masks, px of the tile; what cannot be used goes to the rejects.
# It is sent to other processes. What it has of these decides, besides options, whether finished tiles are taken over:
#   `rests_on`: a folder whose files decide its masks;  `weights_sha256`: a digest of weights that it carries itself.
# With `in_one_process` true all tiles are done where it was made: one model, which may be on a GPU.
Segment = Callable[[str, npt.NDArray[np.uint8], RejectLog], list[Piece]]
