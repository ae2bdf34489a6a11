"""Instance masks as COCO compressed run-length strings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask


def encode_rle(mask: npt.NDArray[np.bool_]) -> str:
    """Mask `(H, W) bool` to the COCO `counts` string."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return str(encoded["counts"].decode("ascii"))


def decode_rle(counts: str, height_px: int, width_px: int) -> npt.NDArray[np.bool_]:
    """COCO `counts` string to mask `(height, width) bool`."""
    encoded = {"size": [height_px, width_px], "counts": counts.encode("ascii")}
    return np.asarray(coco_mask.decode(encoded), np.bool_)
