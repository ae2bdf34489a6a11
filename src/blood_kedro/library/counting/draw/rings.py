"""Masks as polygons of GeoJSON along the edges of their pixels: valid, and of exactly the area of the mask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.counting.pieces import BoolMask, Piece
from blood_kedro.library.imaging.regions import components

_Numbers = npt.NDArray[np.int64]
Ring = _Numbers  # (N, 2) x and y, the last point is the first
# Sides of a pixel: where they start in it (right, down), and the one that is reached by turning left at their end.
_SIDES = np.array([(0, 0, 3), (1, 0, 0), (1, 1, 1), (0, 1, 2)])
# Masks are outlined so many px at a time: one by one, most of the time would go to calls for a few pixels each.
_STRIP_PX2 = 500_000


def geometry(mask: BoolMask, left: int = 0, top: int = 0) -> dict[str, Any]:
    """The outline of one mask, as `geometries` has it.

    Args:
        mask: `(h, w) bool`, at least one pixel.
        left: of the mask in its frame, px; `top` likewise.
        top: see `left`.

    Raises:
        ValueError: the mask is empty.
    """
    return next(geometries([Piece(left, top, mask)]))


def geometries(masks: Iterable[Piece]) -> Iterator[dict[str, Any]]:
    """Each mask as a `Polygon`, holes included, or a `MultiPolygon` where its parts meet at corners only, or nowhere.

    A ring is an array `(N, 2) int64`, contiguous: as lists, points took a third of the time of writing contours.

    Rings are closed and pass no point twice; outer ones have a positive area in px (counter-clockwise where y points
    up, as RFC 7946 asks for), holes a negative one. A single pixel is a square with a side of 1 px.

    Args:
        masks: at least one pixel each.

    Raises:
        ValueError: a mask is empty.
    """
    for some in _by_strip(masks):
        parts = _parts(some)
        polygons: list[list[list[Ring]]] = [[] for _ in some]
        for (number, _), rings in zip(parts, _rings([part for _, part in parts]), strict=True):
            polygons[number].append(rings)
        for outlines in polygons:
            if not outlines:
                raise ValueError("an empty mask has no outline")
            if len(outlines) == 1:
                yield {"type": "Polygon", "coordinates": outlines[0]}
            else:
                yield {"type": "MultiPolygon", "coordinates": outlines}


def _by_strip(masks: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Masks in their order, as many at a time as stand side by side in `_STRIP_PX2`; at least one."""
    some: list[Piece] = []
    height = width = 0
    for each in masks:
        height, width = max(height, each.mask.shape[0]), width + each.mask.shape[1] + 1
        if some and height * width > _STRIP_PX2:
            yield some
            some, height, width = [], each.mask.shape[0], each.mask.shape[1] + 1
        some.append(each)
    if some:
        yield some


def _side_by_side(masks: Sequence[BoolMask]) -> tuple[BoolMask, _Numbers]:
    """Masks in one picture with a free pixel around each, and the column at which each begins."""
    widths = np.array([mask.shape[1] for mask in masks])
    begins = 1 + np.concatenate([[0], np.cumsum(widths + 1)])
    strip = np.zeros((max(mask.shape[0] for mask in masks) + 2, int(begins[-1])), np.bool_)
    for mask, begin in zip(masks, begins[:-1].tolist(), strict=True):
        strip[1 : 1 + mask.shape[0], begin : begin + mask.shape[1]] = mask
    return strip, begins[:-1]


def _parts(masks: Sequence[Piece]) -> list[tuple[int, Piece]]:
    """What is connected by sides in each mask, with the number of the mask; by mask, in the order of first pixels."""
    strip, begins = _side_by_side([each.mask for each in masks])
    connected = components(strip)
    parts = []
    for label, (left, top) in enumerate(connected.boxes_xywh_px[1:, :2].tolist(), start=1):
        number = int(np.searchsorted(begins, left, side="right")) - 1
        part = connected.labels[connected.window(label)] == label
        whole = masks[number]
        parts.append((number, Piece(whole.left + left - int(begins[number]), whole.top + top - 1, part)))
    return sorted(parts, key=lambda part: part[0])


def _rings(parts: Sequence[Piece]) -> list[list[Ring]]:
    """Outer ring and holes of each part, whose pixels are connected by their sides.

    Where pixels of the mask meet at a corner, a ring goes on along the other pixel. Both are connected elsewhere, so
    what lies between them is a hole, with a ring of its own that touches this one at the corner: that is valid, and a
    ring that passes the corner twice is not.
    """
    strip, begins = _side_by_side([each.mask for each in parts])
    corners, directions, following = _sides(strip, begins)
    part_of = np.searchsorted(begins, corners[:, 0], side="right") - 1
    frames = np.array([(each.left, each.top) for each in parts]) - np.stack([begins, np.ones_like(begins)], axis=1)
    points, after = corners + frames[part_of], following.tolist()
    turns = (directions[following] != directions).tolist()
    rings: list[list[Ring]] = [[] for _ in parts]
    begun = [False] * len(after)
    for first, number in enumerate(part_of.tolist()):
        if begun[first]:
            continue
        ring, side = [], first
        while not begun[side]:
            begun[side] = True
            turn, side = turns[side], after[side]
            if turn:
                ring.append(side)
        # The corner that the last side turns at is the one where the ring began.
        rings[number].append(points[ring[-1:] + ring if ring[-1] == first else ring + ring[:1]])
    # The only positive one is the outer one.
    return [each if len(each) == 1 else sorted(each, key=_area, reverse=True) for each in rings]


def _sides(strip: BoolMask, begins: _Numbers) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Sides between a pixel of a mask and one beside it, the mask on the right hand; masks begin at columns `begins`.

    Returns:
        Their starts `(N, 2)` as x and y, their directions (right, down, left, up: 0 to 3), and the side that follows
        each. Those of a mask stand together, and in it those that start at one corner.
    """
    inside, across = strip[1:-1, 1:-1], strip.shape[1]
    besides = (strip[:-2, 1:-1], strip[1:-1, 2:], strip[2:, 1:-1], strip[1:-1, :-2])
    places = [np.flatnonzero(inside & ~beside) for beside in besides]
    directions = np.repeat(np.arange(4), [len(each) for each in places])
    y, x = np.divmod(np.concatenate(places), inside.shape[1])
    corners = np.stack([x + 1, y + 1], axis=1) + _SIDES[directions, :2]
    starts = corners[:, 1] * across + corners[:, 0]
    # Of the two sides that may start at a corner, the number of the first.
    number_at = np.zeros(strip.size, np.int64)
    number_at[starts[::-1]] = np.arange(len(starts))[::-1]
    order = np.lexsort((number_at[starts], np.searchsorted(begins, corners[:, 0], side="right")))
    starts, corners, directions = starts[order], corners[order], directions[order]
    ends = starts + np.array([1, across, -1, -across])[directions]
    at = np.full((4, strip.size), -1, np.int32)
    at[directions, starts] = np.arange(len(starts))
    ways = at[:, ends]
    turned = ways[_SIDES[directions, 2], np.arange(len(ends))]
    return corners, directions, np.where((ways >= 0).sum(axis=0) > 1, turned, ways.max(axis=0))


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])) / 2
