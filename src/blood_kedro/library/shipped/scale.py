"""The width of a red cell, from a picture alone.

The cell detector knows cells at one width. Shown the picture at several zooms, it finds the most and the surest cells
where they come at that width; how wide they then are says by how much the zoom was off.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from blood_kedro.library.core.boxes import area
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.limits import LEAST_SCALE_CONFIDENCE, MOST_SCALE_OFF
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.cell_detector import detect_at
from blood_kedro.library.shipped.networks import CellMaps

# Widths that are tried first, px of the picture; neighbours differ by less than what the detector bears.
_TRIED = tuple(float(14 * 1.7**k) for k in range(6))
# Never more of a picture than so many widths of a red cell: fifty cells say how wide cells are.
_VIEW_CELLS = 8
_SURE, _EDGE_PX, _REFINED, _ROUNDS = 0.3, 2.0, 2, 3
# A width that moves by less than this share stands.
_STILL = 0.03
# From this many sure cells on, a scale is as sure as it gets.
_ENOUGH = 8


@dataclass(frozen=True)
class FoundScale:
    """`cell_px`: width of a usual red cell, px of the picture; NaN where none is found. `confidence` in 0..1."""

    cell_px: float
    confidence: float


def contradicts(said_px: float, measured: FoundScale) -> bool:
    """Whether a width that was said cannot be meant: the one that was measured is sure enough, and far from it."""
    if measured.confidence < LEAST_SCALE_CONFIDENCE:
        return False
    return max(said_px, measured.cell_px) > MOST_SCALE_OFF * min(said_px, measured.cell_px)


def check_width(said_px: float, measured: FoundScale, where: str, what: str = "a red cell is said to be") -> None:
    """Whether a width that was said may be that of a picture.

    Args:
        said_px: the width, px.
        measured: on the picture.
        where: its name.
        what: how the width was said.

    Raises:
        BadInputError: it cannot be.
    """
    if contradicts(said_px, measured):
        raise BadInputError(
            "the scale that was given is not that of the picture",
            where=where,
            got=f"{what} {said_px:.0f} px wide; red cells look {measured.cell_px:.0f} px wide",
            expected=f"widths that differ by less than {MOST_SCALE_OFF:g} times",
            remedy="leave it out, or give the one of this picture (the ruler of the page of `blood-kedro app` helps)",
        )


@dataclass(frozen=True)
class _Look:
    tried_px: float
    found_px: float
    support: float
    cells: int


def find_scale(maps: CellMaps, rgb: RgbImage, native_px: float) -> FoundScale:
    """Width of a red cell of a picture `(H, W, 3) uint8`.

    Args:
        maps: the cell detector.
        rgb: a field, or a large picture, of which a part is looked at.
        native_px: width of a red cell that the network was trained for.
    """
    looks = [_look(maps, rgb, native_px, width) for width in _TRIED]
    best: list[_Look] = []
    for look in sorted(looks, key=lambda each: -each.support)[:_REFINED]:
        best.append(_settled(maps, rgb, native_px, look))
    likeliest = max(best, key=lambda each: each.support)
    if likeliest.cells == 0:
        return FoundScale(float("nan"), 0.0)
    return FoundScale(likeliest.found_px, min(1.0, likeliest.support) * min(1.0, likeliest.cells / _ENOUGH))


def _settled(maps: CellMaps, rgb: RgbImage, native_px: float, look: _Look) -> _Look:
    """Look again at the width that was found until it stands."""
    for _ in range(_ROUNDS):
        if look.cells == 0 or abs(look.found_px / look.tried_px - 1) < _STILL:
            break
        look = _look(maps, rgb, native_px, look.found_px)
    return look


def _look(maps: CellMaps, rgb: RgbImage, native_px: float, width_px: float) -> _Look:
    zoom = native_px / width_px
    part = _middle(rgb, _VIEW_CELLS * width_px)
    size = max(1, round(part.shape[1] * zoom)), max(1, round(part.shape[0] * zoom))
    if min(size) < native_px:
        return _Look(width_px, width_px, 0.0, 0)
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)
    cells = detect_at(maps, view, 1.0)
    inside = (cells.boxes[:, :2] > _EDGE_PX).all(axis=1) & (cells.boxes[:, 2:] < np.array(size) - _EDGE_PX).all(axis=1)
    red = (cells.labels == 1) & (cells.scores > _SURE) & inside
    if not red.any():
        return _Look(width_px, width_px, 0.0, 0)
    widths = np.sqrt(area(cells.boxes[red]))
    sure = cells.scores[cells.scores > _SURE]
    # Weak answers speak against a zoom: the mean score of all that may be cells, weighed by the area that they explain.
    covered = float((area(cells.boxes) * cells.scores).sum() / (size[0] * size[1]))
    support = float(sure.mean()) * min(1.0, covered * 3)
    return _Look(width_px, width_px * float(np.median(widths)) / native_px, support, int(red.sum()))


def _middle(rgb: RgbImage, side: float) -> RgbImage:
    height, width = rgb.shape[:2]
    rows, columns = min(height, max(1, round(side))), min(width, max(1, round(side)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(rgb[top : top + rows, left : left + columns])
