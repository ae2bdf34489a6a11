"""Pictures of more than 8 bits as levels of 0 to 255: the range of their values, declared in the file or found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.errors import BadInputError

# Tops of the ranges of cameras and programs: 8, 10, 12, 14 and 16 bits; and 1, for shares.
_USUAL = (255, 1023, 4095, 16383, 65535)
# The values of a smear, which is bright, reach at least this share of the range that they are of.
_LEAST_FILLED = 0.25
_LOW, _HIGH = 0.1, 99.9
_SAMPLES = 4_000_000
_ROWS_OF = 8_000_000


@dataclass(frozen=True)
class Levels:
    """Which values become 0 and 255, and in words why."""

    low: float
    top: float
    said: str


def find_levels(values: npt.NDArray[Any], declared: float | None = None) -> Levels:
    """The range that the values of a picture are of.

    A top that the file declares is taken unless it is that of the type, which says nothing (Bio-Formats declares 16
    bits for a camera of 12), or values lie above it. Else it is the smallest usual range that holds all values, if they
    fill a quarter of it; else percentiles.

    Args:
        values: `(H, W)` or `(H, W, C)` of any real type; they may be mapped.
        declared: top of the range by the file.

    Raises:
        BadInputError: values are no finite numbers.
    """
    least, most = _extremes(values)
    if not np.isfinite([least, most]).all():
        raise BadInputError("some values are no finite numbers")
    whole = np.issubdtype(values.dtype, np.integer)
    full = float(np.iinfo(values.dtype).max) if whole else np.inf
    if declared is not None and 0 < declared < full and least >= 0 and most <= declared:
        return Levels(0, declared, f"values are read as 0 to {declared:,g}, as the file declares, and made 0 to 255")
    low, high = np.percentile(_sample(values), [_LOW, _HIGH])
    # A single hot pixel is not what tells 12 bits from 16.
    reach = most if most <= 8 * high else float(high)
    tops = _USUAL if whole else (1, *_USUAL)
    top = next((t for t in tops if reach <= t), None)
    if top is not None and least >= 0 and (high >= _LEAST_FILLED * top or most == least):
        bits = f"{(int(top) + 1).bit_length() - 1} bits, " if top > 1 else ""
        return Levels(0, top, f"values reach {most:,.4g} and are read as {bits}0 to {top:,}, made 0 to 255")
    if high <= low:  # all but a few values are the same
        low, high = least, most
    # Bright-field pictures keep their zero, so that absorbances stay right.
    low = 0.0 if 0 <= low <= high / 2 else float(low)
    note = f"values from {least:,.4g} to {most:,.4g} are of no usual range: {low:,.4g} to {high:,.4g} are made 0 to 255"
    return Levels(low, float(high), note)


def to_8_bit(values: npt.NDArray[Any], levels: Levels) -> npt.NDArray[np.uint8]:
    """Values as levels of 0 to 255, of the same shape; a range of whole bits loses its lower ones, as a shift does."""
    eight_bit = np.empty(values.shape, np.uint8)
    span = levels.top - levels.low
    steps = levels.top + 1
    whole_bits = levels.low == 0 and levels.top in _USUAL
    for rows in _rows(values):
        part = values[rows].astype(np.float64) - levels.low
        scaled = np.floor(part * (256 / steps)) if whole_bits else np.round(part * (255 / span if span > 0 else 0))
        eight_bit[rows] = np.clip(scaled, 0, 255)
    return eight_bit


def _extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    extremes = [(float(values[rows].min()), float(values[rows].max())) for rows in _rows(values)]
    return float(np.min([low for low, _ in extremes])), float(np.max([high for _, high in extremes]))


def _sample(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = int(np.ceil(np.sqrt(max(1.0, values.size / _SAMPLES))))
    return np.asarray(values[::step, ::step], np.float64)


def _rows(values: npt.NDArray[Any]) -> Iterator[slice]:
    """Rows of a picture, some at a time: nothing larger is held in floating point."""
    step = max(1, _ROWS_OF // max(1, values[0].size))
    for start in range(0, len(values), step):
        yield slice(start, start + step)
