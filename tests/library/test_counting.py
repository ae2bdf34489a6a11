"""Counting: masks as pieces, tiles and grids, filters, joining across borders, counting rules, agreement."""

from __future__ import annotations

import itertools
import weakref
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import published_counting
import pytest

from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.count.join import join_across_borders
from blood_kedro.library.counting.count.joined import joined_masks
from blood_kedro.library.counting.count.mask_table import mask_table
from blood_kedro.library.counting.count.rules import (
    cells_by_instance,
    cells_by_kde,
    cells_by_mode,
    count_interval,
    kde_peaks,
    single_cell_area,
)
from blood_kedro.library.counting.open.tiles import Grid, cut_into_tiles, grids, make_grids, tile_name
from blood_kedro.library.counting.pieces import Piece, overlaps, paint, piece, pieces_of_labels
from blood_kedro.library.counting.score.agreement import agree
from blood_kedro.library.counting.score.reference_masks import _instances
from blood_kedro.library.counting.segment.filters import filter_as_published, filter_pieces
from blood_kedro.library.counting.segment.journal import KeptTiles, write_tile
from blood_kedro.library.counting.segment.options import FilterOptions


def disc(x: int, y: int, radius: int, side: int = 200, score: float = float("nan")) -> Piece:
    canvas = np.zeros((side, side), np.uint8)
    cv2.circle(canvas, (x, y), radius, 1, -1)
    made = piece(canvas > 0, score=score)
    assert made is not None
    return made


def test_pieces_know_their_place() -> None:
    cell = disc(50, 60, 10)
    assert cell.box_xyxy_px == (40, 50, 61, 71)
    assert cell.centre_xy_px == (50.5, 60.5)
    assert cell.moved(5, -5).box_xyxy_px == (45, 45, 66, 66)
    assert paint([cell], 200, 200).sum() == cell.area_px2
    half = cell.clipped((0, 0, 50, 200))
    assert half is not None
    assert half.box_xyxy_px == (40, 51, 50, 70)
    assert cell.clipped((100, 100, 120, 120)) is None
    assert piece(np.zeros((5, 5), np.bool_)) is None
    again = pieces_of_labels(paint([cell, disc(120, 60, 15)], 200, 200))
    assert [each.box_xyxy_px for each in again] == [cell.box_xyxy_px, (105, 45, 136, 76)]


def random_pieces(rng: np.random.Generator, count: int = 60) -> list[Piece]:
    return [disc(*(int(v) for v in rng.integers(0, 200, 2)), int(rng.integers(3, 30))) for _ in range(count)]


def test_overlaps_are_those_of_whole_frames() -> None:
    pieces = random_pieces(np.random.default_rng(0))
    frames = [paint([each], 200, 200) > 0 for each in pieces]
    slow = {
        (i, j): int((frames[i] & frames[j]).sum())
        for i, j in itertools.combinations(range(len(pieces)), 2)
        if (frames[i] & frames[j]).any()
    }
    assert overlaps(pieces) == slow
    assert overlaps(pieces[:3], pieces[3:5]) == {
        (i, j): int((frames[i] & frames[3 + j]).sum())
        for i in range(3)
        for j in range(2)
        if (frames[i] & frames[3 + j]).any()
    }
    assert overlaps([]) == {}


def test_published_filter_is_that_of_whole_frames() -> None:
    for seed in range(5):
        pieces = random_pieces(np.random.default_rng(seed))
        fast = filter_as_published(pieces, 200, 200)
        slow = published_counting.filtered([paint([each], 200, 200) > 0 for each in pieces])
        assert [each.area_px2 for each in fast] == [int(mask.sum()) for mask in slow]
        assert all((paint([a], 200, 200) > 0).tolist() == b.tolist() for a, b in zip(fast, slow, strict=True))


def test_each_rule_drops_what_it_should_and_counts_it() -> None:
    single, twin = disc(50, 50, 18, score=0.9), disc(51, 50, 18, score=0.95)
    left, right = disc(110, 50, 18), disc(140, 50, 18)
    both = piece(paint([left, right], 200, 200) > 0)
    nucleus, debris, sliver = disc(50, 140, 10), disc(190, 190, 4), disc(0, 100, 6)
    around, background, huge = disc(50, 140, 22), disc(120, 140, 18), disc(100, 100, 90)
    assert both is not None
    stain = np.full((200, 200), 0.3, np.float32)
    stain[background.window] = 0.01
    kept, dropped = filter_pieces(
        [single, twin, left, right, both, nucleus, debris, sliver, around, background, huge],
        FilterOptions(),
        200,
        200,
        stain,
    )
    assert dropped == {"too_small": 1, "too_large": 1, "unstained": 1, "repeated": 1, "clump": 1, "part": 1}
    assert {each.box_xyxy_px for each in kept} == {
        each.box_xyxy_px for each in (twin, left, right, sliver, around)
    }  # the better of the twins; a sliver at the border waits for its other half
    assert filter_pieces([], FilterOptions(), 200, 200) == ([], dict.fromkeys(dropped, 0))


def test_a_mask_over_two_cells_stays_where_one_has_no_mask_of_its_own() -> None:
    left, right = disc(60, 50, 18), disc(90, 50, 18)
    both = piece(paint([left, right], 200, 200) > 0)
    assert both is not None
    kept, dropped = filter_pieces([left, both], FilterOptions(), 200, 200)
    assert [each.area_px2 for each in kept] == [both.area_px2]
    assert dropped["part"] == 1


@pytest.mark.parametrize(("size", "tile", "overlap"), [((1000, 700), 512, 0), ((1000, 700), 256, 40), ((1, 1), 512, 0)])
def test_cores_cover_every_pixel_once(size: tuple[int, int], tile: int, overlap: int) -> None:
    grid = cut_into_tiles(*size, tile, overlap)
    seen = np.zeros(size[::-1], int)
    for place in grid.places:
        x0, y0, x1, y1 = place.core_xyxy_px
        seen[y0:y1, x0:x1] += 1
        assert place.left <= x0 < x1 <= place.left + place.width <= size[0]
        assert place.top <= y0 < y1 <= place.top + place.height <= size[1]
    assert (seen == 1).all()


def of_pixels(tiles: dict[str, np.ndarray]) -> list[Grid]:
    return grids({name: pixels.shape[:2] for name, pixels in tiles.items()}, tiles.__getitem__)


def test_overlaps_are_measured_two_tiles_at_a_time() -> None:
    alive, most, read = 0, 0, 0

    def freed() -> None:
        nonlocal alive
        alive -= 1

    def tile(_name: str) -> np.ndarray:
        nonlocal alive, most, read
        pixels = np.full((64, 64, 3), 200, np.uint8)
        weakref.finalize(pixels, freed)
        alive, read = alive + 1, read + 1
        most = max(most, alive)
        return pixels

    names = [f"{column}_{row}" for column in range(12) for row in range(12)]
    grids(dict.fromkeys(names, (64, 64)), tile)
    assert read == 2 * 12 * 2  # last column and last row, and those before them; not the 144 that there are
    assert most <= 4  # a pair, while the next one is read


def test_bad_tiles_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="16 px"):
        cut_into_tiles(100, 100, 8)
    with pytest.raises(ConfigurationError, match="half"):
        cut_into_tiles(100, 100, 64, 40)
    with pytest.raises(BadInputError, match="not the name of a tile"):
        of_pixels({"smear": np.zeros((4, 4, 3), np.uint8)})
    with pytest.raises(BadInputError, match="differ in size"):
        of_pixels({"0_0": np.zeros((4, 4, 3), np.uint8), "1_0": np.zeros((4, 5, 3), np.uint8)})


def test_only_names_that_fill_half_of_a_grid_are_places_in_it() -> None:
    whole = [f"{c}_{r}" for c in range(3) for r in range(4)]
    assert make_grids(whole)
    assert make_grids(whole[::2])
    assert make_grids([f"HS1_{name}" for name in whole] + ["HS2_0_0", "HS2_0_1"])
    assert not make_grids(["IMG_20240312_101112", "IMG_20240312_101145", "IMG_20240312_101203"])
    assert not make_grids(["0_0", "9_9", "patient"])
    assert not make_grids(["a_0_0", "b_0_0"])  # one tile each is no grid
    tile = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(BadInputError, match="hardly the tiles of a grid"):
        of_pixels({"20240312_101112": tile, "20240312_101203": tile, "20250312_101203": tile})


def test_names_are_column_then_row() -> None:
    assert tile_name("HS2_5_11") == ("HS2", 5, 11)
    assert tile_name("3_0") == ("", 3, 0)
    assert tile_name("smear") is None


def test_anchored_last_column_and_row_are_measured_and_holes_are_named() -> None:
    rng = np.random.default_rng(0)
    whole = cv2.GaussianBlur(rng.integers(0, 255, (233, 321, 3), dtype=np.uint8), (0, 0), 2)
    lefts, tops = [0, 100, 200, 221], [0, 100, 133]  # the last column overlaps by 79 px, the last row by 67
    tiles = {
        f"S_{c}_{r}": whole[top : top + 100, left : left + 100]
        for c, left in enumerate(lefts)
        for r, top in enumerate(tops)
        if (c, r) != (1, 1)
    }
    other = {"T_0_0": tiles["S_0_0"]}
    grid, alone = of_pixels({**tiles, **other})
    assert (grid.smear, grid.width_px, grid.height_px, grid.missing) == ("S", 321, 233, ("S_1_1",))
    assert (alone.width_px, alone.height_px, len(alone.places)) == (100, 100, 1)
    for place in grid.places:
        assert (tiles[place.name] == whole[place.top : place.top + 100, place.left : place.left + 100]).all()
    cores = np.zeros((233, 321), int)
    for place in grid.places:
        x0, y0, x1, y1 = place.core_xyxy_px
        cores[y0:y1, x0:x1] += 1
    assert cores.max() == 1
    assert (cores == 0).sum() == 100 * 100


def cut_up(cells: list[Piece], grid: Grid) -> list[list[Piece]]:
    parts = []
    for place in grid.places:
        clipped = [each.clipped(place.core_xyxy_px) for each in cells]
        parts.append([each for each in clipped if each is not None])
    return parts


def test_cut_cells_are_joined_and_neighbours_are_not() -> None:
    # Whole, cut in two by each kind of border, in four at a corner, and two that touch each other across a border.
    cells = [
        disc(30, 30, 15),
        disc(64, 30, 15),
        disc(30, 64, 15),
        disc(128, 128, 15),
        disc(120, 30, 9),
        disc(139, 40, 11),
    ]
    grid = cut_into_tiles(200, 200, 64)
    parts = cut_up(cells, grid)
    numbers = join_across_borders(grid, mask_table(grid, parts))
    flat = [each for tile in parts for each in tile]
    assert len(numbers) == len(flat) > len(cells)
    areas = np.bincount(numbers, [each.area_px2 for each in flat])[1:]
    assert sorted(areas) == sorted(each.area_px2 for each in cells)


def test_joined_masks_are_those_of_before_the_cut_and_only_cut_ones_are_held() -> None:
    cells = [disc(30, 30, 15), disc(64, 30, 15), disc(150, 30, 9), disc(30, 64, 15), disc(128, 128, 15)]
    grid = cut_into_tiles(200, 200, 64)
    tiles = cut_up(cells, grid)
    table = mask_table(grid, tiles)
    joined = list(joined_masks(tiles, table, join_across_borders(grid, table)))
    assert sorted(each.box_xyxy_px for each in joined) == sorted(each.box_xyxy_px for each in cells)
    assert {each.box_xyxy_px: each.mask.tobytes() for each in joined} == {
        each.box_xyxy_px: each.mask.tobytes() for each in cells
    }
    # The two whole discs are not among the parts that are held: two halves, two halves, four quarters.
    assert len(table) == 10
    assert len(table.cut) == 8


def test_tiles_of_a_slide_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_tile(tmp_path, name, [disc(20, 20, 5 + ord(name) - ord("a"))], {"error": ""}, RejectLog("x"))
    tiles = KeptTiles(tmp_path, ["a", "b", "c"], [[disc(20, 20, 9)]])
    areas = [[each.area_px2 for each in tile] for tile in tiles]
    assert areas == [[disc(20, 20, radius).area_px2] for radius in (9, 6, 7)]  # the first is held, not read
    assert [len(tile) for tile in tiles[1:]] == [1, 1]
    write_tile(tmp_path, "c", [], {"error": ""}, RejectLog("x"))
    assert tiles[-1] == []


def test_two_cells_side_by_side_on_a_border_stay_two() -> None:
    grid = cut_into_tiles(128, 128, 64)
    cells = [disc(64, 20, 10, 128), disc(64, 42, 10, 128)]
    parts = cut_up(cells, grid)
    assert len(set(join_across_borders(grid, mask_table(grid, parts)))) == 2
    assert len(join_across_borders(grid, mask_table(grid, [[] for _ in grid.places]))) == 0


def test_density_and_peaks_are_those_of_scipy() -> None:
    from scipy.signal import find_peaks
    from scipy.stats import gaussian_kde

    from blood_kedro.library.counting.count.rules import _peaks

    rng = np.random.default_rng(0)
    for sizes in ([40], [30, 9], [2000, 700, 400]):  # more than are added at once
        areas = np.concatenate([rng.normal(1000 * (k + 1), 120, n) for k, n in enumerate(sizes)])
        rule = kde_peaks(areas)
        assert rule.density == pytest.approx(gaussian_kde(areas)(rule.grid), rel=1e-9)
        assert _peaks(rule.density).tolist() == find_peaks(rule.density)[0].tolist()
    for level in ([1, 2, 2, 1], [1, 2, 2, 2, 1, 3, 3, 1], [3, 1, 2, 2], [2, 2, 1], [1.0, 1, 1], [0, 1, 0]):
        assert _peaks(np.array(level, float)).tolist() == find_peaks(level)[0].tolist(), level


def test_kde_rule_of_rao_2024() -> None:
    rng = np.random.default_rng(0)
    areas = np.concatenate([rng.normal(1000, 100, 900), rng.normal(2050, 150, 90), rng.normal(3100, 150, 30)])
    rule = kde_peaks(areas)
    assert rule.thresholds[:2] == pytest.approx((1525, 2575), abs=120)
    assert cells_by_kde(np.array([900.0, 2000, 3100]), rule).tolist() == [1, 2, 3]
    for degenerate in (np.zeros(0), np.array([5.0]), np.full(50, 700.0)):
        assert kde_peaks(degenerate).thresholds == ()
        assert cells_by_kde(degenerate, kde_peaks(degenerate)).tolist() == [1] * len(degenerate)


def test_mode_holds_where_the_published_rule_breaks() -> None:
    rng = np.random.default_rng(1)
    singles = rng.normal(1000, 120, 95)
    for disturbed in ([], [60_000.0], list(rng.uniform(300, 450, 6)), list(rng.normal(2060, 200, 40))):
        areas = np.concatenate([singles, disturbed])
        mode = single_cell_area(areas)
        assert mode == pytest.approx(1000, rel=0.08)
        assert cells_by_mode(singles, mode).sum() == pytest.approx(95, abs=1)
    assert cells_by_mode(np.array([300.0, 1000, 2100, 9000]), 1000).tolist() == [0, 1, 2, 4]
    assert np.isnan(single_cell_area(np.zeros(0)))
    assert cells_by_mode(np.array([5.0]), float("nan")).tolist() == [1]


def test_a_large_convex_cell_is_one_and_an_oversized_notched_mask_is_two() -> None:
    counts = cells_by_instance(np.array([1000.0, 1700, 1700, 400]), 1000, np.array([0.97, 0.97, 0.85, 0.9]))
    assert counts.tolist() == [1, 1, 2, 1]


def test_interval_holds_the_count() -> None:
    rng = np.random.default_rng(2)
    tiles = np.repeat(np.arange(20), rng.integers(50, 100, 20))
    low, high = count_interval(np.ones(len(tiles), np.int64), tiles, int(tiles.max()) + 1, 500, 0).limits["count"]
    assert low < len(tiles) < high
    assert count_interval(np.zeros(0, np.int64), np.zeros(0, np.int64), 1, 10, 0).limits["count"] == [None, None]


def test_agreement_is_one_to_one() -> None:
    cells = [disc(40, 40, 15), disc(100, 40, 15), disc(160, 40, 15)]
    found = [disc(41, 40, 15), disc(40, 42, 15), disc(100, 40, 10), disc(30, 150, 15)]
    assert agree(found, cells, 0.5).matched == 1  # the second fits the first cell, too, but that is taken
    assert agree(found, cells, 0.4).matched == 2
    assert agree(cells, cells, 0.75).f1 == 1
    assert agree([], [], 0.5).f1 == 1
    assert agree([], cells, 0.5).f1 == 0


def test_a_reference_mask_that_is_oversized_and_not_convex_is_two_cells() -> None:
    grid = SimpleNamespace(grid=SimpleNamespace(places=[]))
    singles = [disc(60 * k + 30, 30, 15, side=400) for k in range(5)]
    rows, columns = np.mgrid[:60, :60]
    notched = ((rows - 30) ** 2 + (columns - 16) ** 2 < 225) | ((rows - 30) ** 2 + (columns - 43) ** 2 < 225)
    round_one = (rows - 30) ** 2 + (columns - 30) ** 2 < 21**2
    assert _instances(grid, [[*singles, Piece(400, 0, notched)]]) == 7  # type: ignore[arg-type]
    assert _instances(grid, [[*singles, Piece(400, 0, round_one)]]) == 6  # type: ignore[arg-type]
