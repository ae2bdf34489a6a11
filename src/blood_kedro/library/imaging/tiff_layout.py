"""TIFF of microscopes, scanners and ImageJ: which of its pages are the picture, and what is declared of them.

`tifffile` tells pages, planes and pyramids, and what ImageJ and OME say of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from blood_kedro.library.core.errors import BadInputError

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 20_000
_WHOLE_BYTES = {8, 16, 32, 64}
_AXES = {"Z": "focal planes", "T": "times", "C": "channels", "P": "positions", "R": "positions"}
_COLOURS = ("red", "green", "blue")


def is_tiff(path: Path) -> bool:
    """Whether a file starts as TIFF or BigTIFF does."""
    with path.open("rb") as stream:
        return stream.read(4) in _MAGIC


@dataclass(frozen=True)
class TiffPicture:
    """The picture of an open TIFF: the largest of its first series.

    Attributes:
        path: of the file.
        tif: the open file.
        series: its pages.
        planes: of each axis but Y, X and S, the indices that make the picture: one, or three of colours.
        unused: what else the file holds, one clause each.
    """

    path: Path
    tif: tifffile.TiffFile
    series: tifffile.TiffPageSeries
    planes: dict[str, list[int]]
    unused: tuple[str, ...] = ()

    @property
    def page(self) -> tifffile.TiffPage:
        """The first page, which stands for all of a series."""
        page = self.series.keyframe
        return page if isinstance(page, tifffile.TiffPage) else page.keyframe

    @property
    def orientation(self) -> int:
        """1 to 8, as TIFF and EXIF number them."""
        tag = self.page.tags.get(274)
        return int(tag.value) if tag is not None and str(tag.value).isdigit() else 1

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as viewed."""
        width, height = (self.series.shape[self.series.axes.index(axis)] for axis in "XY")
        return (height, width) if self.orientation in {5, 6, 7, 8} else (width, height)

    @property
    def declared(self) -> float | None:
        """Top of the range of values, where the file says it."""
        match = re.search(r'SignificantBits="(\d{1,2})"', self.tif.ome_metadata or "")
        bits = int(match[1]) if match else self.page.bitspersample
        if bits not in _WHOLE_BYTES:
            return float(2**bits - 1)
        tops = [self.page.tags[code].value for code in (341, 281) if code in self.page.tags]
        values = [max(np.atleast_1d(top)) for top in tops]
        return next((float(value) for value in values if np.isfinite(float(value)) and value > 0), None)


@contextmanager
def opened_tiff(path: Path) -> Iterator[TiffPicture]:
    """Open a TIFF and find its picture; nothing is decoded yet.

    Raises:
        BadInputError: it has no picture, or its pages cannot be understood.
    """
    with tifffile.TiffFile(path, _multifile=False) as tif:  # OME may name other files
        if len(tif.pages) > _MOST_PAGES:
            raise BadInputError(f"TIFF of {len(tif.pages):,} pages, at most {_MOST_PAGES:,} are looked at")
        series, others = _chosen(tif)
        if not {"X", "Y"} <= set(series.axes):
            raise BadInputError(f"TIFF whose pages cannot be understood: axes {series.axes}")
        planes, unused = _planes_of(series, _colour_names(tif))
        yield TiffPicture(path, tif, series, planes, (*unused, *others))


def _chosen(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, tuple[str, ...]]:
    """The largest picture among those of the first series' form, which are copies of it, and what is left."""
    levels = [level for series in tif.series for level in series.levels]
    pictures = [series for series in levels if {"X", "Y"} <= set(series.axes)]
    if not pictures:
        raise BadInputError("TIFF without a picture")
    whole = [series for series in pictures if not series.keyframe.is_reduced] or pictures
    alike = [series for series in whole if math.isclose(_aspect(series), _aspect(whole[0]), rel_tol=0.02)]
    best = max(alike, key=lambda series: math.prod(_sides(series)))
    if len(levels) == 1:
        return best, ()
    height, width = _sides(best)
    return best, (
        f"not used: {len(levels) - 1} smaller or other pictures in the file; that of {width}x{height} is read",
    )


def _sides(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    return series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")]


def _aspect(series: tifffile.TiffPageSeries) -> float:
    height, width = _sides(series)
    return width / max(1, height)


def _planes_of(series: tifffile.TiffPageSeries, names: list[str]) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    """Of each axis but Y, X and S the indices that make the picture: one, or three of colours; and what is not used."""
    planes: dict[str, list[int]] = {}
    unused = []
    for axis, size in zip(series.axes, series.shape, strict=True):
        if axis in "YXS":
            continue
        planes[axis] = [0]
        if axis == "C" and size > 1 and "S" not in series.axes:
            if size != len(_COLOURS):
                raise BadInputError(f"TIFF of {size} channels, which are no red, green and blue")
            named = [name.lower() for name in names]
            planes[axis] = [named.index(c) for c in _COLOURS] if sorted(named) == sorted(_COLOURS) else [0, 1, 2]
            unused.append("3 channels are read as red, green and blue")
        elif size > 1:
            unused.append(f"not used: {size - 1} of {size} {_AXES.get(axis, 'pages')}; the first is read")
    return planes, tuple(unused)


def _colour_names(tif: tifffile.TiffFile) -> list[str]:
    """Names of channels by OME or ImageJ."""
    if tif.is_ome:
        return re.findall(r'<Channel\b[^>]*?\bName="([^"]*)"', tif.ome_metadata or "")[:3]
    labels = (tif.imagej_metadata or {}).get("Labels", [])
    return [str(label) for label in labels[:3]] if isinstance(labels, list) else []
