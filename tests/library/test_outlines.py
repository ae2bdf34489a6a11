"""Masks as polygons: closed, no point passed twice, no side crossed, turned the right way, and of the mask's area."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import tifffile

from blood_kedro.library.counting.draw import rings
from blood_kedro.library.counting.draw.masks import write_masks
from blood_kedro.library.counting.pieces import Piece

Ring = list[list[int]]


def plain(outline: dict[str, Any]) -> dict[str, Any]:
    """As a file has it: lists in place of arrays."""
    made: dict[str, Any] = json.loads(orjson.dumps(outline, option=orjson.OPT_SERIALIZE_NUMPY))
    return made


def geometry(cell: np.ndarray, left: int = 0, top: int = 0) -> dict[str, Any]:
    return plain(rings.geometry(cell, left, top))


def mask(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def area(ring: Ring) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2


def steps(ring: Ring) -> set[tuple[int, int, int, int]]:
    """Sides of a ring, one px each, whichever way it passes them."""
    found = []
    for (x0, y0), (x1, y1) in itertools.pairwise(ring):
        assert (x0 == x1) != (y0 == y1)  # straight, and not of no length
        count = abs(x1 - x0) + abs(y1 - y0)
        dx, dy = (x1 - x0) // count, (y1 - y0) // count
        for k in range(count):
            ends = sorted([(x0 + k * dx, y0 + k * dy), (x0 + (k + 1) * dx, y0 + (k + 1) * dy)])
            found.append((*ends[0], *ends[1]))
    assert len(set(found)) == len(found)  # no side twice: sides of a grid cross nowhere else
    return set(found)


def polygons(made: dict[str, Any]) -> list[list[Ring]]:
    return [made["coordinates"]] if made["type"] == "Polygon" else made["coordinates"]


def check(cell: np.ndarray) -> dict[str, Any]:
    made = geometry(cell)
    seen: set[tuple[int, int, int, int]] = set()
    for outer, *holes in polygons(made):
        assert area(outer) > 0
        assert all(area(hole) < 0 for hole in holes)
        for ring in (outer, *holes):
            assert ring[0] == ring[-1]
            points = [(x, y) for x, y in ring[:-1]]
            assert len(set(points)) == len(points) >= 4
            for before, at, after in zip(ring[-2:-1] + ring[:-2], ring[:-1], ring[1:], strict=True):
                assert (before[0] == at[0]) != (at[0] == after[0])  # every point is a corner
            sides = steps(ring)
            assert not sides & seen
            seen |= sides
    total = sum(area(ring) for polygon in polygons(made) for ring in polygon)
    assert total == np.count_nonzero(cell)
    return made


SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def test_one_pixel_is_a_square_where_it_lies() -> None:
    made = geometry(mask("#"), 7, 3)
    assert made == {"type": "Polygon", "coordinates": [[[x + 7, y + 3] for x, y in SQUARE]]}


@pytest.mark.parametrize(("cell", "rows", "columns"), [(mask("#####"), 1, 5), (mask("#", "#", "#"), 3, 1)])
def test_a_line_is_a_rectangle(cell: np.ndarray, rows: int, columns: int) -> None:
    made = check(cell)
    assert sorted(made["coordinates"][0][:-1]) == sorted([[0, 0], [columns, 0], [columns, rows], [0, rows]])


def test_a_hole_is_a_ring_of_its_own() -> None:
    made = check(mask("###", "#.#", "###"))
    assert made["type"] == "Polygon"
    assert [area(ring) for ring in made["coordinates"]] == [9, -1]


@pytest.mark.parametrize(
    "cell",
    [
        mask("##..", "##..", "..##", "..##"),  # corner to corner
        mask("#.#", ".#.", "#.#"),
        mask("#..", "...", "..#"),  # apart
    ],
)
def test_parts_that_meet_at_corners_are_polygons_of_their_own(cell: np.ndarray) -> None:
    assert check(cell)["type"] == "MultiPolygon"


@pytest.mark.parametrize(
    "cell",
    [
        mask("####", "#..#", "#.#.", "###."),  # a gap that touches the outside at a corner
        mask("#####", "#.###", "##.##", "#####"),  # two holes that touch
        mask("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"),  # a cell in a hole
    ],
)
def test_what_touches_itself_passes_no_point_twice(cell: np.ndarray) -> None:
    check(cell)


def test_masks_of_any_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        cell = rng.random(rng.integers(1, 10, 2)) < rng.uniform(0.2, 0.95)
        if cell.any():
            check(cell)
    with pytest.raises(ValueError, match="empty"):
        geometry(mask("..", ".."))


def test_contours_of_many_cells_need_the_memory_of_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held as lists of points, those of 300 cells took 3 MB; of a slide, gigabytes."""
    yy, xx = np.mgrid[:31, :31] - 15
    disc = yy**2 + xx**2 < 200
    places = [(32 * (k % 30), 32 * (k // 30)) for k in range(300)]
    cells = pd.DataFrame({"cell": range(1, 301), "label": "rbc", "type": "teardrop"})
    cells = cells.assign(area_px2=int(disc.sum()), cells_in_clump=1, counted=1)
    masks = [Piece(left, top, disc) for left, top in places]
    monkeypatch.setattr(rings, "_STRIP_PX2", 10_000)  # ten cells
    tracemalloc.start()
    try:
        write_masks(tmp_path, "a", (320, 960), cells, masks)
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [each["id"] for each in features] == [str(k) for k in range(1, 301)]
    assert features[31]["geometry"] == geometry(disc, *places[31])
    assert features[0]["properties"]["classification"]["name"] == "RBC: teardrop"
    labels = tifffile.imread(tmp_path / "a_labels.tif")
    assert [labels[top + 15, left + 15] for left, top in places] == list(range(1, 301))
    assert peak_mb < 1


def test_many_masks_are_outlined_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    masks = [rng.random((rng.integers(2, 12), rng.integers(2, 12))) < 0.6 for _ in range(40)]
    pieces = [Piece(7 * k, 3 * k, cell) for k, cell in enumerate(masks) if cell.any()]
    monkeypatch.setattr(rings, "_STRIP_PX2", 300)  # a few at a time
    assert [plain(each) for each in rings.geometries(pieces)] == [
        geometry(each.mask, each.left, each.top) for each in pieces
    ]


def test_an_empty_mask_among_others_is_refused() -> None:
    with pytest.raises(ValueError, match="no outline"):
        list(rings.geometries([Piece(0, 0, np.ones((2, 2), np.bool_)), Piece(0, 0, np.zeros((2, 2), np.bool_))]))
