"""Numbers and boxes of label files, which may hold anything in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence

from blood_kedro.library.core.errors import BadInputError

Box = tuple[float, float, float, float]

# A cell cannot be seen in less; what arithmetic makes of such a box may have no area at all.
SMALLEST_PX = 1.0
# A box wider or higher than this many pictures is in other units than px of this picture.
LARGEST_SHARE = 2.0
_ROUNDING = 1e-6


def numbers(values: Sequence[object]) -> list[float] | None:
    """Finite numbers, given as such or as text, or None if any value is none: truth values and lists are none."""
    floats = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
            return None
        try:
            floats.append(float(value))
        except (ValueError, OverflowError):
            return None
    return floats if all(math.isfinite(value) for value in floats) else None


def whole(value: object) -> int | None:
    """A whole number, given as such, as a float or as text; else None."""
    floats = numbers([value])
    return int(floats[0]) if floats is not None and floats[0].is_integer() else None


def checked_box(x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
    """The same box, px.

    Raises:
        BadInputError: it is inverted, has no area, or a side below a pixel.
    """
    if x_max < x_min or y_max < y_min:
        raise BadInputError(f"inverted box ({x_min:g}, {y_min:g}, {x_max:g}, {y_max:g})")
    width, height = x_max - x_min, y_max - y_min
    if width == 0 or height == 0:
        raise BadInputError(f"zero-area box at ({x_min:g}, {y_min:g})")
    if min(width, height) < SMALLEST_PX - _ROUNDING:
        raise BadInputError(f"box of {width:g} x {height:g} px: less than a pixel")
    return x_min, y_min, x_max, y_max


def in_picture(box: Box, width_px: int, height_px: int) -> Box:
    """A box or point cut at the border of its picture, px.

    Raises:
        BadInputError: it is no number, lies outside, shows less than a pixel inside, or is far larger than the picture.
    """
    x_min, y_min, x_max, y_max = box
    if not all(map(math.isfinite, box)):
        raise BadInputError("position is not a number")
    where = f"{x_min:g}, {y_min:g}, {x_max:g}, {y_max:g} in {width_px}x{height_px}"
    cut = (max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width_px)), min(y_max, float(height_px)))
    width, height = cut[2] - cut[0], cut[3] - cut[1]
    is_point = x_min == x_max and y_min == y_max
    if width < 0 or height < 0 or (not is_point and min(width, height) < SMALLEST_PX - _ROUNDING):
        raise BadInputError(f"outside the image: {where}")
    if x_max - x_min > LARGEST_SHARE * width_px or y_max - y_min > LARGEST_SHARE * height_px:
        raise BadInputError(f"far larger than the image: {where}")
    return cut
