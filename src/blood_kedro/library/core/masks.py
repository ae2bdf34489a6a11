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


def encode_rle_at(patch: npt.NDArray[np.bool_], top: int, left: int, height_px: int, width_px: int) -> str:
    """Mask `patch (h, w) bool` placed in an empty image, to the COCO `counts` string of that image.

    Costs as much as the patch is wide; the image may be of any size.
    """
    strip = np.zeros((height_px, patch.shape[1]), np.bool_)
    strip[top : top + patch.shape[0]] = patch
    runs = strip.ravel(order="F")
    turns = np.flatnonzero(runs[1:] != runs[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], turns, [runs.size]])).tolist()
    if runs[0]:
        lengths.insert(0, 0)  # counts start with a run of zeros
    lengths[0] += left * height_px
    after = (width_px - left - patch.shape[1]) * height_px
    if runs[-1] and after:
        lengths.append(after)
    elif not runs[-1]:
        lengths[-1] += after
    encoded = coco_mask.frPyObjects({"size": [height_px, width_px], "counts": lengths}, height_px, width_px)
    return str(encoded["counts"].decode("ascii"))
