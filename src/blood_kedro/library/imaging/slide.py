"""Slides of scanners, and other pictures that are read in parts through OpenSlide: levels, windows, size of a pixel.

OpenSlide (https://openslide.org, LGPL-2.1) knows Aperio (SVS), Hamamatsu (NDPI, VMS), 3DHISTECH (MRXS), Leica (SCN),
Ventana (BIF), Zeiss (CZI), Philips and Trestle, and TIFF in tiles of any compression that libtiff has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import openslide

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.files import check_file, check_size, reading
from blood_kedro.library.imaging.pixels import WHITE, RgbImage
from blood_kedro.library.imaging.tiff_layout import TiffPicture, is_tiff, opened_tiff

# Names of slides that are nothing else. Slides in .tif and .tiff are known by what they hold.
SLIDE_SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi"}
# A square slide of 447,000 px: more is no slide but a header that was spoiled.
_MOST_SLIDE_PIXELS = 200_000_000_000
_SCANNERS = ("is_svs", "is_ndpi", "is_scn", "is_bif", "is_philips")


@dataclass(frozen=True)
class Level:
    """One size of a slide: width and height in px, and px of the largest level for one of its own."""

    width_px: int
    height_px: int
    downsample: float


@dataclass(frozen=True)
class Slide:
    """What is known of a slide before a pixel is read.

    Attributes:
        file: of the slide.
        scanner: as OpenSlide names it: `aperio`, `hamamatsu`, `mirax`, ...; `generic-tiff` for other TIFF.
        levels: largest first.
        um_per_px: micrometres for a pixel of the largest level, by OpenSlide; None where the file does not say.
    """

    file: Path
    scanner: str
    levels: tuple[Level, ...]
    um_per_px: float | None


def is_slide(file: Path, most_whole_px: int) -> bool:
    """Whether a picture is read in parts by OpenSlide: a slide of a scanner, or a large TIFF in compressed tiles.

    TIFF that is not compressed is read by `imaging.large`; so is TIFF of other than 8-bit colour, whose values
    OpenSlide would cut.

    Args:
        file: any picture.
        most_whole_px: a TIFF in tiles that no scanner wrote is none up to so many pixels.

    Raises:
        BadInputError: it is named like a TIFF and cannot be opened.
    """
    if file.suffix.lower() in SLIDE_SUFFIXES:
        return True
    with reading(file):
        check_file(file)
        if not is_tiff(file):
            return False
        with opened_tiff(file) as picture:
            if any(getattr(picture.tif, flag) for flag in _SCANNERS):
                return openslide.OpenSlide.detect_format(file) is not None
            width, height = picture.size_px
            if width * height <= most_whole_px or not _is_plain_colour(picture):
                return False
        return openslide.OpenSlide.detect_format(file) is not None


def _is_plain_colour(picture: TiffPicture) -> bool:
    """Whether the largest picture is the file's first, upright, of tiles of 8-bit colour that are compressed."""
    page = picture.page
    colour = page.bitspersample == 8 and page.samplesperpixel == 3 and page.planarconfig == 1
    alone = all(len(indices) == 1 for indices in picture.planes.values())
    return page.is_tiled and page.index == 0 and colour and alone and picture.orientation == 1 and page.compression != 1


def read_slide(file: Path) -> Slide:
    """Open a slide and say what it holds.

    Raises:
        BadInputError: it is cut short, lacks the files beside it, or is of no scanner that OpenSlide knows.
    """
    with _opened(file) as slide:
        sizes = zip(slide.level_dimensions, slide.level_downsamples, strict=True)
        levels = tuple(Level(width, height, float(downsample)) for (width, height), downsample in sizes)
        check_size(levels[0].width_px, levels[0].height_px, _MOST_SLIDE_PIXELS)
        said = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        scanner = str(slide.properties[openslide.PROPERTY_NAME_VENDOR])
    try:
        um_per_px = None if said is None else float(said)
    except ValueError:
        um_per_px = None
    return Slide(file, scanner, levels, um_per_px)


def window_of(file: Path, level: int, box_xyxy_px: tuple[int, int, int, int]) -> RgbImage:
    """Pixels of a window of a level, `(H, W, 3) uint8` RGB; what was not scanned is white.

    Args:
        file: of the slide.
        level: 0 is the largest.
        box_xyxy_px: half-open, in px of the level.

    Raises:
        BadInputError: the window cannot be decoded.
    """
    left, top, right, bottom = box_xyxy_px
    with _opened(file) as slide:
        downsample = slide.level_downsamples[level]
        corner = round(left * downsample), round(top * downsample)
        rgba = np.asarray(slide.read_region(corner, level, (right - left, bottom - top)))
    if rgba[..., 3].min() == WHITE:
        return np.ascontiguousarray(rgba[..., :3])
    share = rgba[..., 3:].astype(np.float32) / WHITE
    return np.asarray(np.round(rgba[..., :3] * share + WHITE * (1 - share)), np.uint8)


def overview(file: Path, most_px: int) -> RgbImage | None:
    """The largest level whose sides are at most `most_px`, `(H, W, 3) uint8`; None where all are larger.

    Raises:
        BadInputError: it cannot be decoded.
    """
    for number, level in enumerate(read_slide(file).levels):
        if max(level.width_px, level.height_px) <= most_px:
            return window_of(file, number, (0, 0, level.width_px, level.height_px))
    return None


def slide_version(file: Path) -> str:
    """What tells the content of a slide that is several files (MRXS, VMS): all of them by name, size and time.

    Raises:
        BadInputError: it cannot be opened.
    """
    folder = file.with_suffix("")
    beside = sorted(folder.iterdir()) if folder.is_dir() else sorted(file.parent.glob(f"{file.stem}*"))
    states = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in beside if path != file]
    with _opened(file) as slide:
        known = str(slide.properties.get(openslide.PROPERTY_NAME_QUICKHASH1, ""))
    return hashlib.sha256("\n".join([known, *states]).encode()).hexdigest()[:16]


def is_several_files(file: Path) -> bool:
    """Whether a slide's pixels lie in other files than the one that is opened."""
    return file.suffix.lower() in {".mrxs", ".vms", ".vmu"}


@contextmanager
def _opened(file: Path) -> Iterator[openslide.OpenSlide]:
    """An open slide, the last one kept; OpenSlide answers nothing more after an error, so it is opened anew then."""
    with reading(file):
        check_file(file)
        seen = file.stat()
        try:
            yield _open(file, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise BadInputError(
                _why_not(file),
                where=str(file),
                remedy="copy the slide again, with all its files, or export it as pyramidal TIFF or OME-TIFF",
            ) from error
        except openslide.OpenSlideError as error:
            _open.cache_clear()
            raise BadInputError(f"slide cannot be read: {error}", where=str(file)) from error


@lru_cache(maxsize=1)
def _open(file: Path, _state: tuple[int, ...]) -> openslide.OpenSlide:
    return openslide.OpenSlide(file)


def _why_not(file: Path) -> str:
    if file.suffix.lower() == ".mrxs" and not file.with_suffix("").is_dir():
        return f"slide without its folder: {file.stem}/ with Slidedat.ini must lie beside {file.name}"
    return "no slide that OpenSlide knows: cut short, of another scanner, or without the files that belong to it"
