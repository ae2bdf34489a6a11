"""Masks as polygons of GeoJSON along the edges of their pixels: valid, and of exactly the area of the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from blood_kedro.library.counting.pieces import BoolMask

Ring = list[list[int]]
_Point = tuple[int, int]


def geometry(mask: BoolMask, left: int = 0, top: int = 0) -> dict[str, Any]:
    """A mask as a `Polygon`, holes included, or a `MultiPolygon` where parts of it meet at corners only, or nowhere.

    Rings are closed and pass no point twice; outer ones have a positive area in px (counter-clockwise where y points
    up, as RFC 7946 asks for), holes a negative one. A single pixel is a square with a side of 1 px.

    Args:
        mask: `(h, w) bool`, at least one pixel.
        left: of the mask in its frame, px; `top` likewise.
        top: see `left`.

    Raises:
        ValueError: the mask is empty.
    """
    parts, count = ndimage.label(mask)
    if not count:
        raise ValueError("an empty mask has no outline")
    polygons = []
    for number, window in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = window
        polygons.append(_polygon(parts[window] == number, left + columns.start, top + rows.start))
    if count == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _polygon(part: BoolMask, left: int, top: int) -> list[Ring]:
    """Outer ring and holes of pixels that are connected by their sides."""
    edges = _edges(part)
    rings = []
    while edges:
        rings.append(_ring(edges, next(iter(edges))))
    rings.sort(key=_area, reverse=True)  # the only positive one is the outer one
    return [[[x + left, y + top] for x, y in [*ring, ring[0]]] for ring in rings]


def _edges(part: BoolMask) -> dict[_Point, list[_Point]]:
    """Sides between a pixel of the mask and one beside it, as start and direction, the mask on the right hand."""
    wide = np.pad(part, 1)
    inside = wide[1:-1, 1:-1]
    sides = (  # the pixel beside, where the side starts in the pixel, and its direction
        (wide[:-2, 1:-1], (0, 0), (1, 0)),
        (wide[1:-1, 2:], (1, 0), (0, 1)),
        (wide[2:, 1:-1], (1, 1), (-1, 0)),
        (wide[1:-1, :-2], (0, 1), (0, -1)),
    )
    edges: dict[_Point, list[_Point]] = {}
    for beside, (right, down), direction in sides:
        for y, x in np.argwhere(inside & ~beside).tolist():
            edges.setdefault((x + right, y + down), []).append(direction)
    return edges


def _ring(edges: dict[_Point, list[_Point]], start: _Point) -> list[_Point]:
    """Corners of one ring, its sides taken out of `edges`.

    Where pixels of the mask meet at a corner, the ring goes on along the other pixel. Both are connected elsewhere, so
    what lies between them is a hole, with a ring of its own that touches this one at the corner: that is valid, and a
    ring that passes the corner twice is not.
    """
    corners: list[_Point] = []
    at, before = start, (0, 0)
    while at in edges:
        ways = edges[at]
        across = (before[1], -before[0])
        way = across if len(ways) > 1 and across in ways else ways[0]
        ways.remove(way)
        if not ways:
            del edges[at]
        if way != before:
            corners.append(at)
        at, before = (at[0] + way[0], at[1] + way[1]), way
        if at == start:
            break
    first = (corners[1][0] - corners[0][0], corners[1][1] - corners[0][1])
    if first[0] * before[1] == first[1] * before[0]:  # it began in the middle of a straight side
        del corners[0]
    return corners


def _area(ring: list[_Point]) -> float:
    x, y = np.array(ring, np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
