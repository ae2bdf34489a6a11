"""Reading image files that come from strangers: what a file is, and its pixels as 8-bit RGB.

The extension is never trusted (32 Chula `.jpg` files are PNG). Pixels are always "as viewed": an EXIF
orientation is applied, so that width, height and boxes speak of the picture that a labelling tool shows.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.decode import decode, size_of
from blood_kedro.library.imaging.files import FORMATS, SUFFIXES, check_size, content_of, is_litter, reading
from blood_kedro.library.imaging.pixels import Decoded, RgbImage

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Decoded",
    "ImageFacts",
    "RgbImage",
    "decode",
    "inspect_image",
    "is_litter",
    "read_grey",
    "read_rgb",
    "size_of",
]


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is: size as viewed in px, SHA-256 of the file, and what had to be converted."""

    width_px: int
    height_px: int
    sha256: str
    notes: tuple[str, ...]
    repairs: tuple[str, ...]


def inspect_image(path: Path) -> ImageFacts:
    """Decode a file fully and say what it is.

    Raises:
        BadInputError: the file is empty, truncated, too large or no image; the message is the reason for rejects.
    """
    decoded = decode(path)
    with reading(path), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    height, width = decoded.rgb.shape[:2]
    levels = (decoded.levels,) if decoded.levels else ()
    return ImageFacts(width, height, digest, decoded.unused, (*decoded.converted, *levels))


def read_rgb(path: Path) -> RgbImage:
    """Pixels as viewed, `(H, W, 3) uint8` RGB.

    Raises:
        BadInputError: the file cannot be read.
    """
    return decode(path).rgb


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """Grey levels as stored, `(H, W) uint8`: for masks, which are many and small.

    Raises:
        BadInputError: the file cannot be read.
    """
    with reading(path):
        content = content_of(path)
        with Image.open(io.BytesIO(content), formats=FORMATS) as header:
            check_size(*header.size)
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        if decoded is None:
            raise BadInputError("image cannot be decoded")
        return np.asarray(decoded, np.uint8)
