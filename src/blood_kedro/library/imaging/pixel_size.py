"""How wide a pixel is, by what a picture file says of itself: scanners, OME, ImageJ, resolution tags."""

from __future__ import annotations

import math
import re
from pathlib import Path

import tifffile
from PIL import Image

from blood_kedro.library.imaging.files import FORMATS, check_file, reading
from blood_kedro.library.imaging.slide import SLIDE_SUFFIXES, read_slide
from blood_kedro.library.imaging.tiff_layout import is_tiff

# Micrometres for a pixel of a picture that shows blood cells. Screens and printers (72 to 1200 dots per inch: 350 to
# 21 um) lie far outside, so that their resolution is taken for no scale.
LEAST_UM_PER_PX, MOST_UM_PER_PX = 0.02, 2.0
# A pixel is square, or the two directions are of different things.
_MOST_UNEQUAL = 1.05
_UM = {
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "\\u00b5m"), 1.0),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("m", "meter"), 1e6),
    **dict.fromkeys(("in", "inch", "inches"), 25_400.0),
}
_OF_TAG = {2: 25_400.0, 3: 10_000.0}
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296


def um_per_px(file: Path) -> tuple[float, str] | None:
    """Micrometres for a pixel of the largest picture of a file, and where that stands; None where it says nothing.

    Widths of 0.02 to 2 of square pixels are believed, no others. The scanner speaks first, then OME, ImageJ, tags.

    Raises:
        BadInputError: the file cannot be opened.
    """
    with reading(file):
        check_file(file)
        if is_tiff(file):
            with tifffile.TiffFile(file, _multifile=False) as tif:
                places = [_of_scanner(tif), _of_ome(tif), _of_imagej(tif), _of_tags(tif)]
            if places[0] is None and file.suffix.lower() in SLIDE_SUFFIXES:
                places[0] = _of_slide(file)
        else:
            places = [_of_slide(file) if file.suffix.lower() in SLIDE_SUFFIXES else _of_picture(file)]
    for stated in places:
        if stated is not None and _is_believable(stated[0], stated[1]):
            return math.sqrt(stated[0] * stated[1]), stated[2]
    return None


_Found = tuple[float, float, str] | None


def _is_believable(x_um: float, y_um: float) -> bool:
    if not all(math.isfinite(um) and LEAST_UM_PER_PX <= um <= MOST_UM_PER_PX for um in (x_um, y_um)):
        return False
    return max(x_um, y_um) <= _MOST_UNEQUAL * min(x_um, y_um)


def _of_slide(file: Path) -> _Found:
    slide = read_slide(file)
    return (
        None if slide.um_per_px is None else (slide.um_per_px, slide.um_per_px, f"MPP of the scanner ({slide.scanner})")
    )


def _of_scanner(tif: tifffile.TiffFile) -> _Found:
    said = re.search(r"\bMPP\s*=\s*([\d.eE+-]+)", str(tif.pages.first.description)) if tif.is_svs else None
    value = None if said is None else _number(said[1])
    return None if value is None else (value, value, "MPP of Aperio")


def _of_ome(tif: tifffile.TiffFile) -> _Found:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", tif.ome_metadata or "")
    if pixels is None:
        return None
    sides = []
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels[0])
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels[0])
        factor = _UM.get(unit[1].lower()) if unit else 1.0  # micrometres where OME names no unit
        value = None if size is None else _number(size[1])
        sides.append(None if value is None or factor is None else value * factor)
    if sides[0] is None:
        return None
    return sides[0], sides[0] if sides[1] is None else sides[1], "PhysicalSizeX of OME"


def _of_imagej(tif: tifffile.TiffFile) -> _Found:
    unit = str((tif.imagej_metadata or {}).get("unit", "")).lower()
    sides = _resolution(tif)
    if unit not in _UM or sides is None:
        return None
    return _UM[unit] / sides[0], _UM[unit] / sides[1], "scale of ImageJ"


def _of_tags(tif: tifffile.TiffFile) -> _Found:
    tag = tif.pages.first.tags.get(_UNIT)
    sides = _resolution(tif)
    factor = _OF_TAG.get(int(tag.value)) if tag is not None else None
    if factor is None or sides is None or tif.is_imagej:  # ImageJ writes its own unit
        return None
    return factor / sides[0], factor / sides[1], "XResolution of TIFF"


def _resolution(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixels for a unit of length, in x and y."""
    sides = []
    for code in (_X_RESOLUTION, _Y_RESOLUTION):
        tag = tif.pages.first.tags.get(code)
        pair = tag.value if tag is not None else None
        if not isinstance(pair, tuple) or len(pair) != 2 or not pair[0] or not pair[1]:
            return None
        sides.append(pair[0] / pair[1])
    return sides[0], sides[1]


def _of_picture(file: Path) -> _Found:
    """PNG (`pHYs`), JPEG (JFIF or EXIF), BMP, WebP."""
    with Image.open(file, formats=FORMATS) as image:
        dpi = image.info.get("dpi")
        form = image.format
        if dpi is None:
            exif = image.getexif()
            factor = _OF_TAG.get(int(exif.get(_UNIT, 0)))
            x, y = (float(exif.get(code, 0) or 0) for code in (_X_RESOLUTION, _Y_RESOLUTION))
            dpi = (x * 25_400.0 / factor, y * 25_400.0 / factor) if factor else None
    if dpi is None or not all(float(value) > 0 for value in dpi):
        return None
    return 25_400.0 / float(dpi[0]), 25_400.0 / float(dpi[1]), f"resolution of {form}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
