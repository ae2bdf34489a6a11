"""How unlike the stain of a picture is from those that the models learnt from.

Six numbers say how a picture is stained and lit: how much its ground absorbs, and in which colour; how much more its
red cells do, and in which colour. `stains.json` holds their medians for each laboratory and their spread within and
between laboratories (`scripts/measure_stains.py` made it). A picture is as unlike as it is from the nearest laboratory.
Nuclei are left out: most fields of red cells show none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from blood_kedro.library.imaging.measures import violet
from blood_kedro.library.readout.intervals import Floats, Result

RgbImage = npt.NDArray[np.uint8]
NUMBERS = ("ground_green", "ground_red", "ground_blue", "cells_green", "cells_red", "cells_blue")
TABLE = Path(__file__).with_name("stains.json")
# Colours need no detail; this many px on the longer side are looked at.
_SIDE_PX = 192
# Ground or cells on fewer px than these cannot be measured.
_LEAST_PX = 400
_LEAST_ABSORBANCE = 0.03
# Channels that differ by less than so many levels nearly everywhere have no colour.
_GREY_LEVELS = 4
# A ground that absorbs more than this and is less even than what lies on it is no ground.
_DARK_GROUND = 0.36


class StainLikeness(Result):
    """How like a picture's stain is to those that the models learnt from."""

    distance: float | None = Field(
        ge=0, description="from the nearest laboratory, in spreads of laboratories; null where it cannot be measured"
    )
    limit: float = Field(gt=0, description="above this distance, a stain is unlike what the models know")
    nearest: str | None = Field(description="the nearest laboratory")
    like: bool = Field(description="whether the models know such stains")
    reason: str = Field(description="why it is unlike; empty where it is like")


class StainTable(Result):
    """Stains of laboratories: what `stains.json` holds."""

    command: str = Field(description="what made this table")
    pictures: dict[str, int] = Field(description="measured of each laboratory")
    medians: dict[str, tuple[float, ...]] = Field(description="of each laboratory, in the order of `NUMBERS`")
    spread: tuple[float, ...] = Field(description="standard deviation within and between laboratories, of each number")
    limit: float
    passed_left_out: dict[str, float] = Field(
        description="share of the pictures of each laboratory that pass where it is left out of the table, 0 to 1"
    )


@dataclass(frozen=True)
class StainMeasure:
    """What a picture's ground and red cells absorb.

    Attributes:
        numbers: `(6,)`, see `NUMBERS`: absorbance of the ground in green, how much more it absorbs red and blue; log of
            what cells absorb of green above the ground, and what they absorb of red and blue, over that.
        light_is_uneven: whether what is lighter varies more than what is darker.
    """

    numbers: Floats
    light_is_uneven: bool


@cache
def stain_table() -> StainTable:
    """The table that comes with the project."""
    return TypeAdapter(StainTable).validate_json(TABLE.read_bytes())


def measure_stain(rgb: RgbImage) -> StainMeasure | None:
    """What a picture's ground and red cells absorb; None where there are no two kinds of pixels to measure.

    Args:
        rgb: `(H, W, 3) uint8`: a field, or a tile of a slide.
    """
    zoom = min(1.0, _SIDE_PX / max(rgb.shape[:2]))
    small = np.asarray(cv2.resize(rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
    absorbed = -np.log(np.maximum(small, 1) / 255.0)
    # Nuclei and platelets, and what lies next to them, are neither ground nor red cell.
    nuclei = violet(absorbed - np.quantile(absorbed.reshape(-1, 3), 0.08, axis=0))
    rest = cv2.dilate(nuclei.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    if rest.sum() < 2 * _LEAST_PX:
        return None
    green = np.ascontiguousarray(small[..., 1])
    level, _ = cv2.threshold(green[rest].reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light, dark = rest & (green > level), rest & (green <= level)
    if min(light.sum(), dark.sum()) < _LEAST_PX:
        return None
    ground = np.median(absorbed[light], axis=0)
    cells = np.median(absorbed[dark], axis=0) - ground
    depth = max(float(cells[1]), _LEAST_ABSORBANCE)
    numbers = [
        ground[1], ground[0] - ground[1], ground[2] - ground[1], np.log(depth), cells[0] / depth, cells[2] / depth
    ]  # fmt: skip
    return StainMeasure(np.array(numbers, np.float64), _unevenness(green[light]) > _unevenness(green[dark]))


def stain_likeness(rgb: RgbImage, table: StainTable | None = None) -> StainLikeness:
    """How like the stain of a picture is to those of a table.

    Args:
        rgb: `(H, W, 3) uint8`: a field, or a tile of a slide.
        table: of laboratories; None takes the one that comes with the project.
    """
    table = stain_table() if table is None else table
    measured = measure_stain(rgb)
    if measured is None:
        return _judged(table, None, None, "ground and cells cannot be told apart by their colours")
    names = list(table.medians)
    away = distances(measured.numbers[None], np.array(list(table.medians.values())), np.array(table.spread))[0]
    distance, nearest = float(away.min()), names[int(away.argmin())]
    if _colourless(rgb):
        return _judged(table, distance, nearest, "the picture has no colours; take it in colour")
    if measured.light_is_uneven and measured.numbers[0] > _DARK_GROUND:
        return _judged(table, distance, nearest, "what should be the ground is dark and uneven: is it a negative?")
    if distance > table.limit:
        far = f"its colours are {distance:.1f} spreads from the nearest laboratory ({nearest}), limit {table.limit:.1f}"
        return _judged(table, distance, nearest, f"{far}; set the white balance on an empty part of the slide")
    return _judged(table, distance, nearest, "")


def distances(numbers: Floats, medians: Floats, spread: Floats) -> Floats:
    """Root mean square distance of pictures `(N, 6)` from laboratories `(L, 6)`, `(N, L)`, in spreads `(6,)`."""
    return np.asarray(np.sqrt((((numbers[:, None] - medians) / spread) ** 2).mean(axis=2)), np.float64)


def _judged(table: StainTable, distance: float | None, nearest: str | None, against: str) -> StainLikeness:
    reason = f"stain unlike what the models know: {against}" if against else ""
    return StainLikeness(distance=distance, limit=table.limit, nearest=nearest, like=not against, reason=reason)


def _unevenness(values: npt.NDArray[np.uint8]) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low)


def _colourless(rgb: RgbImage) -> bool:
    step = max(1, max(rgb.shape[:2]) // _SIDE_PX)
    some = rgb[::step, ::step].astype(np.int16)
    return bool(np.quantile(some.max(axis=2) - some.min(axis=2), 0.95) < _GREY_LEVELS)
