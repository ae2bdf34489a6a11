"""What the page takes: how large a file, how many pixels, for how long; checked before any work is queued."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.files import FORMATS
from blood_kedro.library.imaging.large import is_read_as_slide
from blood_kedro.library.imaging.tiff_layout import is_tiff

MOST_MB = 200
# A slide is read in parts, and of a large one some fields alone: its pixels are not limited.
MOST_SLIDE_MB = 4000
MOST_PIXELS = 100_000_000
# A picture of more waits in a queue of its own, so that small ones need not wait for it.
LARGE_PIXELS = 6_000_000
SMALL_S, LARGE_S = 180, 900
MOST_WAITING = 10
MOST_PICTURES = 40
LIMITS = (
    f"Limits of this page: {MOST_PICTURES} pictures at once, each of up to {MOST_MB} MB and "
    f"{MOST_PIXELS // 10**6} million pixels, slides of up to {MOST_SLIDE_MB} MB, {SMALL_S // 60} minutes of work. "
    f"Slides, and pictures of more than {LARGE_PIXELS // 10**6} million pixels, wait in a queue of their own and have "
    f"{LARGE_S // 60} minutes. "
    "For more: `make count IMAGES=...`, which has none of them but the largest picture that is read."
)


def check_all(files: Sequence[Path]) -> bool:
    """Whether pictures wait among the large ones: one of them does, or all of them together have so many pixels.

    Raises:
        BadInputError: they are too many, or one of them, or all together, are larger than the page takes.
    """
    if len(files) > MOST_PICTURES:
        raise BadInputError(
            "there are more pictures than this page takes at once",
            got=str(len(files)),
            expected=f"at most {MOST_PICTURES}",
            remedy="take some of them, or use blood-kedro read-out <folder>",
        )
    are_large = [check(file) for file in files]
    _check_megabytes("the pictures together are", sum(file.stat().st_size for file in files) / 1e6, MOST_SLIDE_MB)
    return any(are_large) or sum(pixels_of_header(file) or 0 for file in files) > LARGE_PIXELS


def check(file: Path) -> bool:
    """Whether a picture waits among the large ones. Only its header is read.

    Args:
        file: as it was uploaded.

    Raises:
        BadInputError: it is larger than the page takes.
    """
    is_slide = _is_slide(file)
    _check_megabytes("the file is", file.stat().st_size / 1e6, MOST_SLIDE_MB if is_slide else MOST_MB, file.name)
    if is_slide:
        return True
    pixels = pixels_of_header(file)
    if pixels is not None and pixels > MOST_PIXELS:
        raise BadInputError(
            "the picture has more pixels than this page takes",
            where=file.name,
            got=f"{pixels / 1e6:,.0f} million",
            expected=f"at most {MOST_PIXELS // 10**6} million",
            remedy="cut it to the part that matters, or use make count IMAGES=...",
        )
    return pixels is None or pixels > LARGE_PIXELS


def _check_megabytes(what: str, megabytes: float, most: float, where: str = "") -> None:
    if megabytes > most:
        raise BadInputError(
            f"{what} larger than this page takes",
            where=where,
            got=f"{megabytes:,.0f} MB",
            expected=f"at most {most} MB",
            remedy="cut it to the part that matters, or use blood-kedro read-out <file>, which takes any size",
        )


def _is_slide(file: Path) -> bool:
    try:
        return is_read_as_slide(file)
    except BadInputError:
        return False  # the reader says what is wrong with it


def pixels_of_header(file: Path) -> int | None:
    """Width times height of the largest page, as the header says; None where no header can be read."""
    from PIL import Image

    sizes: list[int] = []
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the size itself is judged here
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as picture:
            sizes.append(picture.width * picture.height)
    except Exception:  # noqa: S110 - whatever a broken header makes Pillow raise; the reader says what is wrong
        pass
    finally:
        Image.MAX_IMAGE_PIXELS = before
    if is_tiff(file):
        sizes += _pixels_of_tiff(file)
    return max(sizes, default=None)


def _pixels_of_tiff(file: Path) -> list[int]:
    """Of the first page, which Pillow does not open in every kind of TIFF."""
    import tifffile

    try:
        with tifffile.TiffFile(file) as opened:
            page = opened.pages.first
            return [math.prod((int(page.imagewidth), int(page.imagelength)))]
    except Exception:  # as above
        return []
