"""Picture files that come from strangers: which of them are opened, and how large one may be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from blood_kedro.library.core.errors import BadInputError

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
SUFFIXES = set(FORMAT_OF_SUFFIX)
# What is decoded whatever the name says: PostScript under the name of a picture would reach Ghostscript.
FORMATS = tuple(sorted(set(FORMAT_OF_SUFFIX.values())))
# The limit of every picture that is decoded in memory: a square slide of 22,000 px. docs/own_images.md states it.
MOST_PIXELS = 500_000_000
# A TIFF that stays on the disk and is read in parts may have more.
MOST_MAPPED_PIXELS = 4_000_000_000
_MOST_BYTES = 4 * MOST_PIXELS
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# Pillow warns above its own limit and refuses twice as much: the same number holds wherever it opens a picture. It has
# no other place for it than its module, and pictures are opened by several threads at once: a limit that one of them
# sets for a while would be gone in the midst of another's. So it holds for the process.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS


def is_litter(path: Path) -> bool:
    """Files that operating systems leave behind: `.DS_Store`, `._x`, `__MACOSX/`, `Thumbs.db`."""
    return path.name in {"Thumbs.db", "desktop.ini"} or any(
        part.startswith(".") or part == "__MACOSX" for part in path.parts
    )


def check_file(path: Path) -> None:
    """Refuse what is no regular file with something in it, before it is opened: a pipe would never end.

    Raises:
        BadInputError: it is not there, a folder, a pipe, a device, a link that leads back to itself, or empty; or its
            name is no UTF-8 and would fit in no table.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInputError(
            "the name of the file, or of its folder, is not UTF-8", where=str(path), remedy="rename it"
        ) from error
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"file cannot be opened: {reason}", where=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise BadInputError(f"not a file but {kind}", where=str(path))
    if not status.st_size:
        raise BadInputError("zero-byte file", where=str(path))
    if not os.access(path, os.R_OK):
        raise BadInputError("file cannot be opened: no permission to read it", where=str(path))


def content_of(path: Path) -> bytes:
    """All bytes of a picture file.

    Raises:
        BadInputError: see `check_file`; or it is too long to be a picture within the limit.
    """
    check_file(path)
    if (length := path.stat().st_size) > _MOST_BYTES:
        raise BadInputError(f"file is too long: {length:,} bytes, at most {_MOST_BYTES:,} are read", where=str(path))
    return path.read_bytes()


def check_size(width_px: int, height_px: int, most: int | None = None) -> None:
    """Refuse a picture by the size that its header declares, before anything is decoded.

    Raises:
        BadInputError: it has no pixel, or more than `most`, by default `MOST_PIXELS`.
    """
    most = MOST_PIXELS if most is None else most
    if width_px < 1 or height_px < 1:
        raise BadInputError(f"picture without pixels: {width_px}x{height_px} px")
    if width_px * height_px > most:
        raise BadInputError(
            f"picture is too large: {width_px:,}x{height_px:,} px, at most {most:,} pixels are decoded",
            remedy="save it as uncompressed TIFF of 8-bit RGB, which is read in parts, or cut it into tiles",
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a picture is read into an error of that file: others of a folder go on.

    Raises:
        BadInputError: something went wrong; the message is the reason for rejects.
    """
    try:
        yield
    except BadInputError as error:
        where = error.where or str(path)
        raise BadInputError(
            error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy
        ) from error
    except UnidentifiedImageError as error:
        with path.open("rb") as stream:
            start = stream.read(12)
        raise BadInputError(f"not an image: starts with {start!r}", where=str(path)) from error
    except Exception as error:
        # Decoders of damaged files raise anything: struct.error, IndexError, cv2.error, MemoryError, ...
        reason = str(error).strip() or type(error).__name__
        raise BadInputError(f"image cannot be decoded: {reason}", where=str(path)) from error
