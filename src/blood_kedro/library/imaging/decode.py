"""Pixels of one picture file, whatever it is: the only way in which pixels of strangers' files come in."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.files import FORMAT_OF_SUFFIX, FORMATS, check_file, check_size, content_of, reading
from blood_kedro.library.imaging.orientation import ORIENTATION, upright
from blood_kedro.library.imaging.pixels import Decoded, colour_of, decode_with_pillow
from blood_kedro.library.imaging.tiff import decode_tiff
from blood_kedro.library.imaging.tiff_layout import is_tiff, opened_tiff


def decode(path: Path) -> Decoded:
    """Read one picture.

    Raises:
        BadInputError: it cannot be read, or not be understood; the message is the reason for rejects.
    """
    with reading(path):
        check_file(path)
        decoded = decode_tiff(path) if is_tiff(path) else _decode_plain(content_of(path))
        expected = FORMAT_OF_SUFFIX.get(path.suffix.lower())
        if expected in {None, decoded.form} or (decoded.form == "MPO" and expected == "JPEG"):
            return decoded
        return replace(decoded, unused=(f"content is {decoded.form}, name says {path.suffix}", *decoded.unused))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture as viewed, px, from its header.

    Raises:
        BadInputError: it is no picture, or has more than `MOST_PIXELS`.
    """
    with reading(path):
        check_file(path)
        if is_tiff(path):
            with opened_tiff(path) as picture:
                width, height = picture.size_px
        else:
            with Image.open(path, formats=FORMATS) as header:
                width, height = header.size
                if header.getexif().get(ORIENTATION, 1) in {5, 6, 7, 8}:
                    width, height = height, width
        check_size(width, height)
        return width, height


def _decode_plain(content: bytes) -> Decoded:
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    form = str(image.format)
    check_size(*image.size)
    frames = int(getattr(image, "n_frames", 1))
    unused = (f"not used: {frames - 1} of {frames} pictures in the file; the first is read",) if frames > 1 else ()
    if form == "PNG" and content[24:25] == b"\x10":
        return replace(_decode_deep_png(image, content), unused=unused)
    if image.mode == "RGB" and form in {"JPEG", "PNG"} and _is_upright(image, content):
        # OpenCV's decoder is the faster one; it returns nothing for a damaged file, and Pillow then says what is wrong.
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        if decoded is not None:
            return Decoded(np.asarray(decoded, np.uint8), form, unused)
    return replace(decode_with_pillow(image, form), unused=unused)


def _is_upright(header: Image.Image, content: bytes) -> bool:
    """Whether no EXIF entry turns the picture. Pillow unpacks a whole PNG to look for one that hardly any has."""
    if header.format == "PNG" and b"eXIf" not in content and b"Raw profile type" not in content:
        return True
    return bool(header.getexif().get(ORIENTATION, 1) == 1)


def _decode_deep_png(image: Image.Image, content: bytes) -> Decoded:
    """A PNG of 16 bits, whose low bits Pillow drops in colour."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        image.load()  # says what is wrong
        raise BadInputError("PNG of 16 bits cannot be decoded")
    colour, alpha = values, None
    if values.ndim == 3:
        colour, alpha = values[..., 2::-1], (values[..., 3] if values.shape[2] == 4 else None)
    rgb, levels = colour_of(colour, declared=_significant(content), alpha=alpha)
    orientation = image.getexif().get(ORIENTATION, 1)
    kind = "I;16" if values.ndim == 2 else "RGB;16"
    return Decoded(
        upright(rgb, orientation), "PNG", levels=levels, converted=(f"converted from mode {kind} to 8-bit RGB",)
    )


def _significant(content: bytes) -> float | None:
    """Top of the range by the chunk `sBIT`, which says how many bits the camera had."""
    for kind, data in _chunks(content):
        if kind == b"sBIT" and data:
            return float(2 ** min(max(data), 16) - 1)
        if kind == b"IDAT":
            break
    return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 8
    while start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        yield kind, content[start + 8 : start + 8 + min(length, 4)]
        start += 12 + length
