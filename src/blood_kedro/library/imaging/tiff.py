"""The picture of a TIFF: its values, decoded or left on the disk.

What is not compressed is read from where it lies. Other pages are unpacked by libtiff (through Pillow and OpenCV) or,
where that knows no such form, by tifffile.
"""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.files import MOST_MAPPED_PIXELS, check_size, content_of
from blood_kedro.library.imaging.orientation import upright
from blood_kedro.library.imaging.pixels import Decoded, RgbImage, colour_of, decode_with_pillow
from blood_kedro.library.imaging.tiff_layout import TiffPicture, opened_tiff

_OF_LEVELS = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB}
_BY_TIFFFILE = {COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE}
_PREMULTIPLIED, _ALPHA = 1, {1, 2}
_STEP_BYTES = 1 << 24


def decode_tiff(path: Path) -> Decoded:
    """The picture of a TIFF, decoded.

    Raises:
        BadInputError: it cannot be understood, or is too large.
    """
    with opened_tiff(path) as picture:
        check_size(*picture.size_px)
        page = picture.page
        if _for_pillow(picture):
            with _pillow_page(picture, 0) as image:
                decoded = decode_with_pillow(image, "TIFF")
            return replace(decoded, unused=picture.unused)
        values, turned = _values(picture)
        colour, alpha, left_out = _colour_and_alpha(values, picture)
        rgb, levels = colour_of(
            colour,
            declared=picture.declared,
            alpha=alpha,
            premultiplied=page.extrasamples[:1] == (_PREMULTIPLIED,),
            white_is_zero=page.photometric == PHOTOMETRIC.MINISWHITE,
        )
        converted = []
        if colour.ndim == 2 or alpha is not None or rgb.dtype != colour.dtype:
            converted.append(f"converted from {_pixel_type(page)} to 8-bit RGB")
        if picture.orientation in range(2, 9):
            converted.append(
                f"orientation {picture.orientation} applied: boxes are read as drawn on the upright picture"
            )
        viewed = rgb if turned else np.ascontiguousarray(upright(rgb, picture.orientation))
        return Decoded(viewed, "TIFF", (*picture.unused, *left_out), levels, tuple(converted))


def _for_pillow(picture: TiffPicture) -> bool:
    """Whether Pillow alone reads it: palettes, packed bits, CMYK, YCbCr and LAB; and 8 bits, where libtiff is needed.

    Raises:
        BadInputError: it is of that kind, and nothing reads it.
    """
    page = picture.page
    in_planes = any(len(indices) > 1 for indices in picture.planes.values())
    packed = page.compression not in _BY_TIFFFILE
    if page.photometric in _OF_LEVELS and page.bitspersample >= 8:
        return page.bitspersample == 8 and packed and not in_planes
    if in_planes or page.bitspersample > 8:
        raise BadInputError(f"TIFF of {_pixel_type(page)}{' in planes' if in_planes else ''} is not read")
    return True


def map_tiff(path: Path) -> tuple[RgbImage, tuple[str, ...]] | None:
    """The picture of a TIFF left on the disk, `(H, W, 3) uint8` as viewed, and what is not used; None if it cannot be.

    It can if it is 8-bit grey or RGB, in one piece and not compressed; its planes may lie one after the other.

    Raises:
        BadInputError: it has more than `MOST_MAPPED_PIXELS`, or cannot be understood.
    """
    with opened_tiff(path) as picture:
        page = picture.page
        if picture.series.dataoffset is None or picture.series.dtype != np.uint8:
            return None
        if page.photometric not in {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB} or page.bitspersample != 8:
            return None
        check_size(*picture.size_px, MOST_MAPPED_PIXELS)
        values, _ = _values(picture)
        colour, alpha, left_out = _colour_and_alpha(values, picture)
        if alpha is not None:
            return None
        if colour.ndim == 2:
            colour = np.broadcast_to(colour[..., None], (*colour.shape, 3))
        return upright(colour, picture.orientation), (*picture.unused, *left_out)


def _values(picture: TiffPicture) -> tuple[npt.NDArray[Any], bool]:
    """Values `(H, W)` or `(H, W, C)` as stored, mapped where they lie in one piece; and whether they are upright."""
    series, page = picture.series, picture.page
    axes, upright_already = series.axes, False
    if series.dataoffset is not None:
        values = _mapped(picture)
        values = values[tuple(_at(picture.planes[axis]) if axis in picture.planes else slice(None) for axis in axes)]
    else:
        lead = len(axes) - len(page.axes)
        if lead < 0 or axes[lead:] != page.axes:
            raise BadInputError(f"TIFF whose pages cannot be understood: axes {axes} of pages {page.axes}")
        unpacked = [_unpacked(picture, index) for index in _page_numbers(picture, lead)]
        inner = tuple(0 if axis in picture.planes else slice(None) for axis in page.axes)
        pages = [values[inner] for values, _ in unpacked]
        values, upright_already = (pages[0] if len(pages) == 1 else np.stack(pages)), unpacked[0][1]
    left = [axis for axis in axes if axis in "YXS" or len(picture.planes[axis]) > 1]
    return np.moveaxis(values, [left.index("Y"), left.index("X")], [0, 1]), upright_already


def _at(indices: list[int]) -> Any:  # noqa: ANN401 - what numpy takes as an index
    if len(indices) == 1:
        return indices[0]
    return slice(None) if indices == sorted(indices) else indices


def _mapped(picture: TiffPicture) -> npt.NDArray[Any]:
    series, start = picture.series, int(picture.series.dataoffset or 0)
    kind = np.dtype(series.dtype).newbyteorder(picture.tif.byteorder)
    if start + math.prod(series.shape) * kind.itemsize > picture.path.stat().st_size:
        raise BadInputError("file is truncated: it ends before its picture does")
    mapped: npt.NDArray[Any] = np.memmap(picture.path, dtype=kind, mode="r", offset=start, shape=series.shape)
    return mapped


def _page_numbers(picture: TiffPicture, lead: int) -> list[int]:
    """Which pages of the series make the picture."""
    sizes = picture.series.shape[:lead]
    outer = [picture.planes[axis] for axis in picture.series.axes[:lead]]
    return [int(np.ravel_multi_index(index, sizes)) if sizes else 0 for index in itertools.product(*outer)]


def _unpacked(picture: TiffPicture, number: int) -> tuple[npt.NDArray[Any], bool]:
    """Values of a page of the series, along the page's axes, and whether its orientation has been applied."""
    page = picture.series.pages[number]
    if page is None:
        raise BadInputError("TIFF without the page of its picture, which lies in another file")
    if picture.page.compression in _BY_TIFFFILE and picture.page.predictor in {1, 2}:
        _check_segments(picture, page)
        return np.asarray(page.asarray()), False
    if picture.page.samplesperpixel == 1:
        with _pillow_page(picture, number) as image:
            image.load()
            values = np.asarray(image)
        inverted = values.dtype == np.uint8 and picture.page.photometric == PHOTOMETRIC.MINISWHITE
        return (255 - values if inverted else values), True  # as stored: Pillow has turned 8-bit negatives
    if picture.page.planarconfig != 1:
        packed = COMPRESSION(picture.page.compression).name
        raise BadInputError(
            f"TIFF of {_pixel_type(picture.page)} in planes is not read with compression {packed}",
            remedy="save it without compression",
        )
    success, pages = cv2.imdecodemulti(
        np.frombuffer(content_of(picture.path), np.uint8), cv2.IMREAD_UNCHANGED, range=(page.index, page.index + 1)
    )
    if not success or pages[0].ndim != 3 or pages[0].shape[2] != picture.page.samplesperpixel:
        raise BadInputError(f"TIFF of {_pixel_type(picture.page)} cannot be decoded")
    return pages[0][..., [2, 1, 0, 3][: pages[0].shape[2]]], True  # OpenCV has blue first


def _pillow_page(picture: TiffPicture, number: int) -> Image.Image:
    page = picture.series.pages[number]
    if page is None or len(page.treeindex) > 1:
        raise BadInputError("TIFF whose picture lies below another page is not read")
    image = Image.open(picture.path, formats=("TIFF",))
    image.seek(page.index)
    return image


def _check_segments(picture: TiffPicture, page: tifffile.TiffPage | tifffile.TiffFrame) -> None:
    """Refuse strips and tiles that are not in the file, or would unpack to more or less than their picture."""
    key, size = picture.page, picture.path.stat().st_size
    check_size(*key.chunks[:2])
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    needed = math.prod(key.chunked)
    held = [(start, count) for start, count in segments if start and count and start + count <= size]
    if len(segments) != needed or len(held) < needed:
        raise BadInputError(f"file is truncated: {len(held)} of the {needed} parts of its picture are there")
    most = math.prod(key.chunks) * np.dtype(key.dtype).itemsize
    unpacked = 0
    with picture.path.open("rb") as stream:
        for start, count in held:
            stream.seek(start)
            unpacked += count if key.compression == COMPRESSION.NONE else _unpacked_bytes(stream.read(count), most)
    if unpacked < key.nbytes:
        raise BadInputError("file is truncated: parts of its picture are shorter than they should be")


def _unpacked_bytes(packed: bytes, most: int) -> int:
    """How many bytes a part unpacks to, found without keeping them: tifffile would unpack a bomb in memory."""
    unpacker, length = zlib.decompressobj(), 0
    while packed and not unpacker.eof:
        n_bytes = len(unpacker.decompress(packed, _STEP_BYTES))
        length += n_bytes
        packed = unpacker.unconsumed_tail
        if length > most + _STEP_BYTES or (not n_bytes and not packed):
            break
    if length > most:
        raise BadInputError(f"a part of the picture unpacks to more than the {most:,} bytes that it has")
    return length


def _colour_and_alpha(
    values: npt.NDArray[Any], picture: TiffPicture
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, tuple[str, ...]]:
    """Grey `(H, W)` or colour `(H, W, 3)`, its alpha if it has one, and what is not used."""
    page = picture.page
    if values.ndim == 2:
        return values, None, ()
    samples = values.shape[2]
    base = 3 if page.photometric == PHOTOMETRIC.RGB or samples == 3 else 1
    if samples < base:
        raise BadInputError(f"TIFF of {samples} samples, which are no red, green and blue")
    colour = values[..., :3] if base == 3 else values[..., 0]
    kinds = [int(kind) for kind in page.extrasamples]
    has_alpha = samples > base and bool(kinds) and kinds[0] in _ALPHA
    n_further = samples - base - has_alpha
    unused = (f"not used: {n_further} further values of each pixel",) if n_further else ()
    return colour, (values[..., base] if has_alpha else None), unused


def _pixel_type(page: tifffile.TiffPage) -> str:
    """What the values of a page are, for notes: `16-bit RGB`."""
    kind = "float" if page.sampleformat == 3 else "bit"
    names = {PHOTOMETRIC.MINISBLACK: "grey", PHOTOMETRIC.MINISWHITE: "negative grey"}
    photometric = PHOTOMETRIC(page.photometric)
    return f"{page.bitspersample}-{kind} {names.get(photometric, photometric.name)}"
