"""Small versions of images for finding duplicates: streamed, a few kB each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

THUMB_PX = 128


@dataclass(frozen=True)
class Thumbnail:
    """One image made small.

    `detail` is the green channel without its slow part, `(h, w) float32`, longer side `THUMB_PX`, letterbox
    padding cut off; `background` the 80th percentile of each channel; `pixels` the hash of the full pixels;
    `phash` the 64-bit perceptual hash.
    """

    detail: npt.NDArray[np.float32]
    background: npt.NDArray[np.float32]
    pixels: str
    phash: int


def make_thumbnails(paths: Sequence[Path], sizes_px: Sequence[tuple[int, int]]) -> list[Thumbnail]:
    """Thumbnails of standardized images; `sizes_px` is the size of the picture inside each canvas."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_thumbnail, paths, sizes_px))


def _thumbnail(path: Path, size_px: tuple[int, int]) -> Thumbnail:
    canvas = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if canvas is None:
        raise FileNotFoundError(f"standardized image cannot be read: {path}")
    width, height = size_px
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    picture = np.ascontiguousarray(canvas[top : top + height, left : left + width])
    scale = THUMB_PX / max(width, height)
    side = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, side, interpolation=cv2.INTER_AREA)
    green = small[..., 1].astype(np.float32)
    return Thumbnail(
        detail=np.asarray(green - cv2.GaussianBlur(green, (0, 0), THUMB_PX / 8), np.float32),
        background=np.asarray(np.percentile(small.reshape(-1, 3), 80, axis=0), np.float32),
        pixels=hashlib.sha256(picture.tobytes()).hexdigest(),
        phash=int(str(imagehash.phash(Image.fromarray(picture))), 16),
    )
