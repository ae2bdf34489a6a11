"""Reading image files that come from strangers: what a file is, and its pixels as 8-bit RGB.

The extension is never trusted (32 Chula `.jpg` files are PNG). Pixels are always "as viewed": an EXIF
orientation is applied, so that width, height and boxes speak of the picture that a labelling tool shows.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from blood_kedro.library.core.errors import BadInputError

RgbImage = npt.NDArray[np.uint8]

EXIF_ORIENTATION = 0x0112
_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
    ".webp": "WEBP",
}  # fmt: skip
SUFFIXES = set(_FORMAT_OF_SUFFIX)
# What is decoded whatever the name says: PostScript under the name of a picture would reach Ghostscript.
FORMATS = tuple(sorted(set(_FORMAT_OF_SUFFIX.values())))


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is: size as viewed in px, SHA-256 of the file, and what had to be converted."""

    width_px: int
    height_px: int
    sha256: str
    notes: tuple[str, ...]
    repairs: tuple[str, ...]


def is_litter(path: Path) -> bool:
    """Files that operating systems leave behind: `.DS_Store`, `._x`, `__MACOSX/`, `Thumbs.db`."""
    return path.name in {"Thumbs.db", "desktop.ini"} or any(
        part.startswith(".") or part == "__MACOSX" for part in path.parts
    )


def inspect_image(path: Path) -> ImageFacts:
    """Decode a file fully and say what it is.

    Raises:
        BadInputError: the file is empty, truncated or no image; the message is the reason for rejects.
    """
    content = path.read_bytes()
    if not content:
        raise BadInputError("zero-byte file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            image.load()
    except UnidentifiedImageError as error:
        raise BadInputError(f"not an image: starts with {content[:12]!r}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInputError(f"image cannot be decoded: {error}") from error
    turned = image.getexif().get(EXIF_ORIENTATION, 1) in {5, 6, 7, 8}
    width, height = (image.height, image.width) if turned else image.size
    return ImageFacts(width, height, hashlib.sha256(content).hexdigest(), _notes(image, path), _repairs(image))


def _notes(image: Image.Image, path: Path) -> tuple[str, ...]:
    expected = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    if expected is None or image.format in {expected, "MPO"}:
        return ()
    return (f"content is {image.format}, name says {path.suffix}",)


def _repairs(image: Image.Image) -> tuple[str, ...]:
    repairs = []
    if image.mode != "RGB":
        repairs.append(f"converted from mode {image.mode} to 8-bit RGB")
    if (orientation := image.getexif().get(EXIF_ORIENTATION, 1)) != 1:
        repairs.append(f"EXIF orientation {orientation} applied: boxes are read as drawn on the upright picture")
    return tuple(repairs)


def read_rgb(path: Path) -> RgbImage:
    """Pixels as viewed, `(H, W, 3) uint8` RGB.

    Plain 8-bit RGB files take OpenCV's decoder (faster); all else (grey, palette, CMYK, 16 bit, EXIF-turned)
    goes through Pillow.

    Raises:
        BadInputError: the file cannot be decoded.
    """
    content = path.read_bytes()
    try:
        header = Image.open(io.BytesIO(content), formats=FORMATS)
        if header.mode == "RGB" and header.format in {"JPEG", "PNG"} and _is_upright(header, content):
            decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
            if decoded is not None:
                return np.asarray(decoded, np.uint8)
        return _pillow_rgb(header)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInputError(f"image cannot be decoded: {error}", where=str(path)) from error


def _is_upright(header: Image.Image, content: bytes) -> bool:
    """Whether no EXIF entry turns the picture. Pillow unpacks a whole PNG to look for one that hardly any has."""
    if header.format == "PNG" and b"eXIf" not in content and b"Raw profile type" not in content:
        return True
    return bool(header.getexif().get(EXIF_ORIENTATION, 1) == 1)


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """Grey levels as stored, `(H, W) uint8`: for masks, which are many and small.

    Raises:
        BadInputError: the file cannot be decoded.
    """
    decoded = (
        cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE) if path.stat().st_size else None
    )
    if decoded is None:
        raise BadInputError("image cannot be decoded", where=str(path))
    return np.asarray(decoded, np.uint8)


def _pillow_rgb(image: Image.Image) -> RgbImage:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        # 16-bit and float images: Pillow's own conversion clips at 255. Scale the range of the type instead.
        values = np.asarray(upright, np.float64)
        top = 65535.0 if values.max() > 255 else 255.0
        grey = np.clip(values / top * 255, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if "A" in upright.mode or "transparency" in upright.info:
        flat = Image.new("RGBA", upright.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(flat, upright.convert("RGBA"))
    return np.asarray(upright.convert("RGB"), np.uint8)
