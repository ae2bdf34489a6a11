"""Whole smears: opened, segmented tile by tile, named, joined, counted, written; and every input that is not one."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from blood_kedro.library.core.errors import BadInputError, ConfigurationError, SourceNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import NOT_NAMED, UNSURE
from blood_kedro.library.counting.count import smears
from blood_kedro.library.counting.count.clumps import overlapping
from blood_kedro.library.counting.count.rules import count_interval
from blood_kedro.library.counting.count.smears import NameTypes
from blood_kedro.library.counting.draw.looks import CornerLook, ReducedLook, corner, reduced
from blood_kedro.library.counting.name.looks import PixelsLook
from blood_kedro.library.counting.name.namers import BySegmenter
from blood_kedro.library.counting.open.smear import WindowReader, open_smears
from blood_kedro.library.counting.open.table import smears_of, table_of_tiles
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece, piece
from blood_kedro.library.counting.score.by_hand import count_accuracy
from blood_kedro.library.counting.score.reference import errors, with_reference
from blood_kedro.library.counting.score.reference_masks import ReferenceLook, mask_agreement
from blood_kedro.library.counting.segment.classical import Watershed
from blood_kedro.library.counting.segment.precomputed import Precomputed
from blood_kedro.library.counting.segment.tiles import folders_of
from blood_kedro.library.shipped.cell_detector import FoundCells
from blood_kedro.library.shipped.segment import ShippedSegmenter
from tests.fixtures.counting import count
from tests.fixtures.slides import write_svs

RULES = ["instances", "kde_peaks", "mode"]
GROUND, RED, NUCLEUS = (225, 224, 228), (200, 135, 150), (90, 50, 140)


def smear(width: int, height: int, red: list[tuple[int, int]], nuclei: list[tuple[int, int, int]] = []) -> np.ndarray:  # noqa: B006
    """A field with red cells of 36 px at (x, y), and violet discs at (x, y) with a radius."""
    image = np.full((height, width, 3), GROUND, np.uint8)
    for x, y in red:
        cv2.circle(image, (x, y), 18, RED, -1)
    for x, y, radius in nuclei:
        cv2.circle(image, (x, y), radius, NUCLEUS, -1)
    noise = np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


def save(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb)
    return path


# 24 red cells on a grid that tiles of 128 px cut through, a pair that touches, a white cell, two platelets.
SPREAD = [(40 + 62 * i, 40 + 62 * j) for i in range(6) for j in range(4)]
PAIR = [(450, 60), (484, 60)]
VIOLET = [(460, 200, 26), (430, 130, 7), (500, 130, 7)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("image") / "field.png", smear(540, 300, SPREAD + PAIR, VIOLET))


@pytest.mark.parametrize("tiles", [{"tile_px": 512}, {"tile_px": 128, "overlap_px": 0}, {"tile_px": 128}])
def test_every_cell_is_counted_once_however_the_smear_is_cut(
    image: Path, tmp_path: Path, tiles: dict[str, int]
) -> None:
    made = count(image, tmp_path, px_per_um=5.0, volume_ul_per_mm2=0.001, **tiles)
    (row,) = made.counts.to_dict("records")
    assert (row["rbc"], row["wbc"], row["platelet"]) == (26, 1, 2)
    assert row["fit_for_counting"]
    assert row["overlap_ratio"] == pytest.approx(2 / 24)
    mm2 = 540 * 300 / 5000**2
    assert row["rbc_per_mm2"] == pytest.approx(26 / mm2)
    assert row["rbc_per_ul"] == pytest.approx(26 / mm2 / 0.001)
    cells = made.cells[made.cells["label"] == "rbc"]
    away = cells[["x_px", "y_px"]].to_numpy()[:, None] - np.array(SPREAD + PAIR)
    assert np.hypot(*away.transpose(2, 0, 1)).min(axis=0).max() < 2.5
    assert cells["diameter_um"].between(6.6, 7.8).all()
    assert sorted(cells["cells_in_clump"])[-3:] == [1, 2, 2]
    assert made.fields["rbc"].sum() == 26
    assert (made.fields["kept"] >= made.fields["rbc"] - 1).all()
    low, high = row["rbc_interval_95"] or (None, None)
    assert (low is None) == (row["tiles"] == 1)
    assert low is None or low <= 26 <= high


def test_a_segmenter_that_tells_kinds_apart_is_believed_and_cells_get_types(image: Path, tmp_path: Path) -> None:
    """Kinds outlive the files of finished tiles; names of types see each cell where it is, in the frame of its tile."""

    def say(_name: str, rgb: np.ndarray, _rejects: RejectLog) -> list[Piece]:
        found = Watershed(settings)("", rgb, _rejects)
        # Kinds that the stain would never give: all that is no spot is a white cell.
        return [
            Piece(each.left, each.top, each.mask, 0.75, "platelet" if each.mask.shape[1] < 20 else "wbc")
            for each in found
        ]

    def name_types(rgb: np.ndarray, cells: pd.DataFrame, cell_px: float) -> pd.DataFrame:
        assert cell_px == 36
        middle = (cells[["x_min_px", "y_min_px"]].to_numpy() + cells[["x_max_px", "y_max_px"]].to_numpy()) // 2
        dark = [rgb[y, x].sum() < 350 for x, y in np.minimum(middle, np.array(rgb.shape[1::-1]) - 1)]
        return pd.DataFrame({"type": np.where(dark, "dark", "light"), "sureness": 0.5})

    settings = SmearInput(name="t", path=str(image), workers=1, resamples=50, tile_px=256)
    made = count(image, tmp_path, say, namer=BySegmenter(), name_types=name_types, tile_px=256).cells
    assert set(made["label"]) == {"platelet", "wbc"}
    assert (made["confidence"] == 0.75).all()
    assert made["sureness"].eq(0.5).all()
    dark = made[made["type"] == "dark"]
    assert sorted(dark["x_px"].round(-1)) == sorted(round(x, -1) for x, _, _ in VIOLET)


def test_of_many_red_cells_some_drawn_at_random_get_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smears, "MOST_SHAPES", 3)
    image = save(
        tmp_path / "field.png", smear(400, 300, [(60 + 60 * k, 60 + 60 * row) for k in range(5) for row in (0, 2)])
    )

    def sure(_rgb: np.ndarray, cells: pd.DataFrame, _cell_px: float) -> pd.DataFrame:
        return pd.DataFrame({"type": ["normal_rbc"] * len(cells), "sureness": 0.5})

    def unsure(_rgb: np.ndarray, cells: pd.DataFrame, _cell_px: float) -> pd.DataFrame:
        return pd.DataFrame({"type": [UNSURE] * len(cells), "sureness": 0.1})

    def named(name_types: NameTypes, seed: int) -> tuple[list[int], list[int]]:
        """All cells, and those that were looked at."""
        work = tmp_path / f"{name_types.__name__}{seed}"
        cells = count(image, work, Watershed(settings), name_types=name_types, tile_px=256, seed=seed).cells
        return cells["cell"].tolist(), cells.loc[cells["type"] != NOT_NAMED, "cell"].tolist()

    settings = SmearInput(name="t", path=str(image), workers=1, tile_px=256)
    monkeypatch.setattr(smears, "ENOUGH_RED_CELLS", 3)
    (cells, first), (_, again), (_, other) = named(sure, 1), named(sure, 1), named(sure, 2)
    assert len(cells) == 10
    assert [len(each) for each in (first, again, other)] == [3, 3, 3]
    assert first == again != other
    # Too few have a shape: others are drawn, until all were looked at, or often enough.
    assert named(unsure, 1)[1] == cells
    monkeypatch.setattr(smears, "MOST_DRAWS", 2)
    assert len(named(unsure, 3)[1]) == 6
    monkeypatch.setattr(smears, "ENOUGH_RED_CELLS", 4)
    assert len(named(sure, 4)[1]) == 6


def test_cells_that_touch_lie_apart_and_those_that_overlap_together() -> None:
    boxes = [(0, 0, 40, 40), (29, 29, 69, 69), (200, 0, 240, 40), (220, 0, 260, 40), (210, 5, 230, 25)]
    cells = pd.DataFrame(boxes, columns=["x_min_px", "y_min_px", "x_max_px", "y_max_px"], dtype=float)
    cells["label"] = ["rbc"] * 4 + [
        "platelet"
    ]  # circles that touch at 45 degrees; two that overlap; a platelet on them
    groups = overlapping(cells)
    assert groups[2] == groups[3]
    assert len(set(groups)) == 4
    assert len(overlapping(cells.iloc[:0])) == 0


def test_every_detection_is_one_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of three that overlap, one so large that areas would make it two, and one that no stain fills."""
    red = [(40, 40), (120, 40), (60, 120), (88, 120), (116, 120), (230, 120)]
    path = save(tmp_path / "field.png", smear(320, 180, red))
    wide = [(x - 18.0, y - 18.0, x + 18.0, y + 18.0) for x, y in red]
    white = [(150.0, 60.0, 176.0, 90.0), (176.0, 60.0, 202.0, 90.0)]  # two that touch, small as lobes of one nucleus
    boxes = np.array([*wide[:-1], (204, 94, 256, 146), (270, 20, 306, 56), *white])
    labels = ["rbc"] * 7 + ["wbc"] * 2

    class Found:
        def predict(self, _rgb: np.ndarray, cell_px: float) -> FoundCells:
            return FoundCells(boxes, labels, np.linspace(0.9, 0.6, len(boxes)), cell_px)

    monkeypatch.setattr("blood_kedro.library.shipped.segment.load", lambda _name: Found())
    settings = SmearInput(name="t", path=str(path), workers=1, resamples=50)
    made = count(path, tmp_path, ShippedSegmenter(settings.cell_px), namer=BySegmenter())
    assert (made.totals["rbc"], made.totals["wbc"], len(made.cells)) == (7, 2, 9)
    assert (made.cells["counted"] == 1).all()
    assert made.cells["confidence"].min() == pytest.approx(0.6)


def test_a_piece_keeps_its_kind_where_it_is_moved_or_clipped() -> None:
    made = piece(np.ones((4, 4), np.bool_), 2, 2, 0.5, "wbc")
    assert made is not None
    clipped = made.moved(1, 0).clipped((0, 0, 5, 5))
    assert clipped is not None
    assert (clipped.kind, clipped.score, clipped.box_xyxy_px) == ("wbc", 0.5, (3, 2, 5, 5))


def test_masks_are_left_for_other_programs(image: Path, tmp_path: Path) -> None:
    made = count(image, tmp_path, tile_px=128)
    labels = tifffile.imread(tmp_path / "masks/field_labels.tif")
    kinds = tifffile.imread(tmp_path / "masks/field_kinds.tif")
    assert labels.shape == (300, 540)
    assert kinds.shape == (300, 540, 3)
    for cell in made.cells.itertuples():
        mine = labels == cell.cell
        assert mine.sum() == cell.area_px2
        colour = {"rbc": (255, 0, 0), "wbc": (0, 128, 0), "platelet": (148, 0, 211)}[str(cell.label)]
        assert (kinds[mine] == colour).all()
    assert (kinds[labels == 0] == 0).all()
    contours = json.loads((tmp_path / "masks/field.geojson").read_text())["features"]
    assert len(contours) == len(made.cells)
    for feature, cell in zip(contours, made.cells.itertuples(), strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        points = np.array(ring)
        box = (cell.x_min_px, cell.y_min_px, cell.x_max_px, cell.y_max_px)
        assert (*points.min(axis=0), *points.max(axis=0)) == pytest.approx(box)
        assert feature["properties"]["classification"]["name"] == str(cell.label).upper()


def test_a_grid_of_tiles_is_the_smear_it_was_cut_from(image: Path, tmp_path: Path) -> None:
    rgb = cv2.imread(str(image))[..., ::-1]
    rgb = np.pad(rgb, ((0, 84), (0, 100), (0, 0)), mode="edge")  # 640 x 384: five by three tiles
    for column in range(5):
        for row in range(3):
            save(
                tmp_path / f"grid/S_{column}_{row}.png",
                rgb[128 * row : 128 * (row + 1), 128 * column : 128 * column + 128],
            )
    made = count(tmp_path / "grid", tmp_path / "work")
    (row,) = made.counts.to_dict("records")
    assert (row["smear"], row["tiles"], row["rbc"], row["wbc"], row["platelet"]) == ("S", 15, 26, 1, 2)
    # A hole and a file that is no image are said, and what is left is counted.
    (tmp_path / "grid/S_1_1.png").unlink()
    (tmp_path / "grid/S_2_0.png").write_bytes(b"broken")
    rejects = RejectLog("t")
    fewer = count(tmp_path / "grid", tmp_path / "work", rejects=rejects).counts.iloc[0]
    assert 15 < fewer["rbc"] < 26
    assert fewer["tiles"] == 13
    reasons = {(Path(str(r["path"])).stem, r["action"]) for r in rejects.rows}
    assert reasons == {("S_2_0", "dropped"), ("S_2_0", "noted"), ("S_1_1", "noted")}
    save(tmp_path / "grid/S_3_1.png", rgb[:100, :128])
    with pytest.raises(BadInputError, match="differ in size"):
        count(tmp_path / "grid", tmp_path / "work")


def one_kind(kind: str) -> np.ndarray:
    rgb = smear(200, 160, [(60, 60), (130, 90)])
    if kind == "grey":
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if kind == "alpha":
        return np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 255, np.uint8)])
    return (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257) if kind == "16 bit" else rgb


@pytest.mark.parametrize("kind", ["rgb", "grey", "alpha", "16 bit"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_any_kind_of_image_is_counted(tmp_path: Path, kind: str, suffix: str) -> None:
    made = count(save(tmp_path / f"a.{suffix}", one_kind(kind)), tmp_path)
    assert made.counts.loc[0, ["rbc", "wbc", "platelet"]].tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("rgb", "cells"),
    [
        (np.full((1, 1, 3), 90, np.uint8), 0),
        (np.full((200, 200, 3), 225, np.uint8), 0),
        (np.full((200, 200, 3), RED, np.uint8), 0),
        (np.zeros((200, 200, 3), np.uint8), 0),
        (smear(200, 200, [(100, 100)]), 1),
        (smear(30, 30, [(15, 15)]), 0),
        (smear(48, 48, [(24, 24)]), 1),
    ],
    ids=["1 px", "blank", "all cell", "black", "one cell", "smaller than a cell", "as large as a cell"],
)
def test_fields_with_nothing_or_one_cell(tmp_path: Path, rgb: np.ndarray, cells: int) -> None:
    made = count(save(tmp_path / "a.png", rgb), tmp_path)
    (row,) = made.counts.to_dict("records")
    assert (row["rbc"], row["wbc"], row["platelet"]) == (cells, 0, 0)
    assert bool(row["fit_for_counting"]) == (cells > 0)
    assert len(made.cells) == cells
    assert json.loads((tmp_path / "masks/a.geojson").read_text())["features"] == [] or cells


def test_what_cannot_be_counted_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such path"):
        count(tmp_path / "none.png", tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/.DS_Store").write_bytes(b"x")
    (tmp_path / "folder/notes.txt").write_text("x")
    with pytest.raises(SourceNotFoundError, match="no readable image"):
        count(tmp_path / "folder", tmp_path)
    (tmp_path / "folder/a.png").write_bytes(b"")
    save(tmp_path / "folder/b.png", smear(100, 100, [(50, 50)]))
    save(tmp_path / "folder/b.tif", smear(100, 100, [(50, 50)]))
    rejects = RejectLog("t")
    made = count(tmp_path / "folder", tmp_path, rejects=rejects)
    assert made.counts["smear"].tolist() == ["b_png", "b_tif"]
    assert [Path(str(r["path"])).name for r in rejects.rows] == ["a.png", "notes.txt"]
    with pytest.raises(ValueError, match="either source or path"):
        SmearInput(name="t")
    with pytest.raises(ValueError, match="needs masks"):
        SmearInput(name="t", path="x", segmenter="precomputed")
    with pytest.raises(ConfigurationError, match="side of 16 px"):
        count(tmp_path / "folder/b.png", tmp_path, overlap_px=300)


def test_a_large_slide_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = smear(1100, 700, [(60 * i + 40, 60 * j + 40) for i in range(17) for j in range(11)])
    tifffile.imwrite(tmp_path / "plain.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "packed.tif", rgb, photometric="rgb", compression="deflate")
    monkeypatch.setattr("blood_kedro.library.imaging.large._UNPACKED_PIXELS", 1000)
    made = count(tmp_path / "packed.tif", tmp_path / "work")
    assert made.counts.loc[0, "rbc"] == 187
    (unpacked,) = (tmp_path / "work/unpacked").glob("*.npy")
    changed = unpacked.stat().st_mtime_ns
    assert count(tmp_path / "packed.tif", tmp_path / "work").counts.loc[0, "rbc"] == 187
    assert unpacked.stat().st_mtime_ns == changed
    smears = open_smears([tmp_path / "plain.tif"], 512, 0, tmp_path / "other", RejectLog("t"))
    assert not (tmp_path / "other").exists()
    assert np.array_equal(smears[0].read(smears[0].grid.places[-1]), rgb[512:, 1024:])


class Counting:
    """A segmenter that says how often it was asked, and breaks when told to."""

    in_one_process = True

    def __init__(self, options: SmearInput, breaks_at: int | None = None) -> None:
        self.inner, self.calls, self.breaks_at = Watershed(options), 0, breaks_at

    def __call__(self, name: str, rgb: np.ndarray, rejects: RejectLog) -> list[Piece]:
        self.calls += 1
        if self.calls == self.breaks_at:
            raise KeyboardInterrupt
        return self.inner(name, rgb, rejects)


def test_a_run_that_was_stopped_goes_on_where_it_was(image: Path, tmp_path: Path) -> None:
    options = SmearInput(name="t", path="x", tile_px=128)
    whole = count(image, tmp_path / "a", Counting(options), tile_px=128)
    with pytest.raises(KeyboardInterrupt):
        count(image, tmp_path / "b", Counting(options, breaks_at=6), tile_px=128)
    rest = Counting(options)
    again = count(image, tmp_path / "b", rest, tile_px=128)
    assert rest.calls == whole.counts.loc[0, "tiles"] - 5
    pd.testing.assert_frame_equal(again.cells, whole.cells)
    # Another image under the same name, or other settings, share nothing with it.
    other = Counting(options)
    count(save(tmp_path / "c/field.png", smear(540, 300, SPREAD)), tmp_path / "b", other, tile_px=128)
    assert other.calls == whole.counts.loc[0, "tiles"]


@pytest.fixture
def two_workers() -> Iterator[tuple[str, object]]:
    import dask
    from distributed import LocalCluster

    # A nanny writes these variables of its workers into the environment of this process: whatever later tests start
    # would find OMP_NUM_THREADS=1 and add up floats in another order.
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
    ):
        yield cluster.scheduler_address, cluster


class DiesOnce:
    """Kills its worker process at the first tile it sees in a fresh folder; the watershed from then on."""

    def __init__(self, options: SmearInput, folder: Path) -> None:
        self.inner, self.folder = Watershed(options), folder

    def __call__(self, name: str, rgb: np.ndarray, rejects: RejectLog) -> list[Piece]:
        import os

        if not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os._exit(1)
        return self.inner(name, rgb, rejects)


def test_a_cluster_counts_the_same_and_a_dead_worker_loses_nothing(
    image: Path, tmp_path: Path, two_workers: tuple[str, object]
) -> None:
    address, _ = two_workers
    here = count(image, tmp_path / "a", tile_px=128)
    there = count(image, tmp_path / "b", tile_px=128, cluster=address)
    pd.testing.assert_frame_equal(there.cells, here.cells)
    options = SmearInput(name="t", path="x", tile_px=128)
    after = count(image, tmp_path / "c", DiesOnce(options, tmp_path), tile_px=128, cluster=address)
    assert (tmp_path / "died").exists()
    pd.testing.assert_frame_equal(after.cells, here.cells)


def test_a_slide_counts_the_same_on_a_cluster(image: Path, tmp_path: Path, two_workers: tuple[str, object]) -> None:
    address, _ = two_workers
    slide = write_svs(tmp_path / "a.svs", cv2.imread(str(image))[..., ::-1])
    here = count(slide, tmp_path / "a", tile_px=128, overlap_px=16)
    there = count(slide, tmp_path / "b", tile_px=128, overlap_px=16, cluster=address)
    assert there.counts["rbc"].sum() > 0
    pd.testing.assert_frame_equal(there.cells, here.cells)
    pd.testing.assert_frame_equal(there.fields.drop(columns="seconds"), here.fields.drop(columns="seconds"))


def test_a_cluster_that_does_not_answer_is_said(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blood_kedro.library.core.processes.CLUSTER_TIMEOUT", "1s")
    with pytest.raises(ConfigurationError, match="no Dask scheduler answers"):
        count(image, tmp_path, tile_px=128, cluster="tcp://127.0.0.1:9")


def test_stored_masks_are_counted_and_compared_with(image: Path, tmp_path: Path) -> None:
    rgb = cv2.imread(str(image))[..., ::-1][:256, :512]
    cells = [(x, y) for x, y in SPREAD + PAIR if x + 20 < 512 and y + 20 < 256]
    for column in range(4):
        for row in range(2):
            box = slice(128 * row, 128 * row + 128), slice(128 * column, 128 * column + 128)
            save(tmp_path / f"tiles/{column}_{row}.png", rgb[box])
            (tmp_path / f"masks/{column}_{row}").mkdir(parents=True)
            number = 0
            for x, y in cells:
                mask = np.zeros((256, 512), np.uint8)
                cv2.circle(mask, (x, y), 18, 255, -1)
                if mask[box].sum() > 40 * 255:
                    save(tmp_path / f"masks/{column}_{row}/{number}.png", mask[box])
                    number += 1
    (tmp_path / "masks/0_0/99.png").write_bytes(b"no image")
    folder, rejects = tmp_path / "masks", RejectLog("t")
    made = count(
        tmp_path / "tiles", tmp_path / "work", Precomputed(folder), rejects, segmenter="precomputed", masks=str(folder)
    )
    assert made.counts.loc[0, "rbc"] == len(cells)
    assert [Path(str(r["path"])).name for r in rejects.rows] == ["99.png"]
    options = SmearInput(name="t", path="x", reference_masks=str(folder), overlap_px=0, resamples=20)
    look = ReferenceLook(folder, options)
    seen = count(tmp_path / "tiles", tmp_path / "work", looks=[look], overlap_px=0)
    smears = open_smears([tmp_path / "tiles"], 512, 0, tmp_path / "work", RejectLog("t"))
    (agreement,) = mask_agreement(smears, seen.segmented, tmp_path / "work", options).values()
    assert agreement["reference_count"] == len(cells)
    assert agreement["f1_50"] > 0.9  # the white cell has no mask there
    assert agreement["f1_75"] > 0.8
    # A tile whose masks are missing is a reject, not an error.
    (tmp_path / "tiles/4_0.png").write_bytes((tmp_path / "tiles/3_0.png").read_bytes())
    rejects = RejectLog("t")
    count(
        tmp_path / "tiles", tmp_path / "work", Precomputed(folder), rejects, segmenter="precomputed", masks=str(folder)
    )
    assert "tile without masks" in {row["reason"] for row in rejects.rows}
    # Once they are there they are taken, and changed masks are not those of the last run.
    shutil.copytree(tmp_path / "masks/3_0", tmp_path / "masks/4_0")
    shutil.rmtree(tmp_path / "masks/0_0")
    (tmp_path / "masks/0_0").mkdir()
    rejects = RejectLog("t")
    changed = count(
        tmp_path / "tiles", tmp_path / "work", Precomputed(folder), rejects, segmenter="precomputed", masks=str(folder)
    )
    assert {row["action"] for row in rejects.rows} == {"noted"}  # the grid still has a hole
    assert changed.counts.loc[0, "rbc"] < len(cells)


def test_a_tile_that_failed_is_tried_again(tmp_path: Path) -> None:
    rgb = smear(256, 128, [(60, 60), (190, 60)])
    for column in range(2):
        save(tmp_path / f"tiles/{column}_0.png", rgb[:, 128 * column : 128 * (column + 1)])

    class Breaking(Counting):
        def __call__(self, name: str, rgb: np.ndarray, rejects: RejectLog) -> list[Piece]:
            if self.breaks_at and name == "1_0":
                raise BadInputError("broken for now", where=name)
            return self.inner(name, rgb, rejects)

    options, rejects = SmearInput(name="t", path="x"), RejectLog("t")
    made = count(tmp_path / "tiles", tmp_path / "work", Breaking(options, breaks_at=1), rejects)
    assert made.counts.loc[0, ["rbc", "failed_tiles"]].tolist() == [1, 1]
    assert [row["reason"] for row in rejects.rows] == ["broken for now"]
    made = count(tmp_path / "tiles", tmp_path / "work", Breaking(options))
    assert made.counts.loc[0, ["rbc", "failed_tiles"]].tolist() == [2, 0]


def test_counts_beside_labelled_cells() -> None:
    index = pd.DataFrame({"path": ["images/a.png", "images/b.png"], "image_id": ["s/a", "s/b"]})
    boxes = {"x_min_px": 0.0, "y_min_px": 0.0, "x_max_px": 10.0, "y_max_px": 10.0}
    annotations = pd.DataFrame(
        [
            {"image_id": "s/a", "label": "teardrop", "ignore": False, **boxes},
            {"image_id": "s/a", "label": "lymphocyte", "ignore": False, **boxes},
            {"image_id": "s/a", "label": "normal_rbc", "ignore": True, **boxes},
            {"image_id": "s/a", "label": "normal_rbc", "ignore": True, **{k: v + 50 for k, v in boxes.items()}},
        ]
    )
    counts = pd.DataFrame({"smear": ["a", "b"], "rbc": [3, 1], "wbc": [1, 0], "platelet": [0, 0]})
    for rule in RULES:
        counts[f"rbc_{rule}"] = counts["rbc"]
    apart = Groups({"s/a": "s/a", "s/b": "s/b"}, {"s/a": "test", "s/b": "test"})
    table = with_reference(counts, index, annotations, apart)
    assert table["reference_rbc"].tolist() == [1, 0]  # whatever was counted
    assert table["ignored_rbc"].tolist() == [2, 0]
    assert table["group"].tolist() == ["s/a", "s/b"]
    assert table["reference_wbc"].tolist() == [1, 0]
    with pytest.raises(ConfigurationError, match="need different names"):
        with_reference(counts, index.assign(path=["a/x.png", "b/x.png"]), annotations, apart)
    found = errors(table, RULES, 100, 0)
    assert found["rbc"]["mean_absolute_error"] == 1.5
    assert found["rbc"]["bias"] == 1.5
    assert found["rbc"]["sum_error_percent"] == 300
    assert found["rbc"]["ignored"] == 2
    assert found["rbc"]["interval_basis"]["groups"] == 2
    together = with_reference(counts, index, annotations, Groups({"s/a": "g", "s/b": "g"}, {"g": "test"}))
    assert errors(together, RULES, 100, 0)["rbc"]["interval_95"]["bias"] == [None, None]
    assert found["platelet"]["sum_error_percent"] is None


def test_accuracy_beside_counts_by_hand() -> None:
    """The published figure: 2384 of 2441. Too many cells are no better than too few, and errors of smears cancel."""
    counts = pd.DataFrame({"smear": ["a", "b", "c"], "rbc": [2384, 110, 7], "wbc": [3, 0, 0]})
    made = count_accuracy(counts, {"a": {"rbc": 2441}})
    assert made == {"rbc": {"counted": 2384, "by_hand": 2441, "smears": 1, "accuracy": pytest.approx(0.9766, abs=1e-4)}}
    both = count_accuracy(counts, {"b": {"rbc": 100, "wbc": 0}, "c": {"rbc": 10}})
    assert both["rbc"] == {"counted": 117, "by_hand": 110, "smears": 2, "accuracy": pytest.approx(1 - 7 / 110)}
    assert both["wbc"]["accuracy"] is None
    with pytest.raises(ConfigurationError, match="not there"):
        count_accuracy(counts, {"d": {"rbc": 1}})


@pytest.mark.parametrize("rule", RULES)
def test_interval_is_of_the_rule_that_counts(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    given: list[int] = []

    def spy(counts: Any, *others: Any) -> Any:
        given.append(int(np.sum(counts)))
        return count_interval(counts, *others)

    monkeypatch.setattr("blood_kedro.library.counting.count.cells.count_interval", spy)
    made = count(image, tmp_path / "w", tile_px=128, count_rule=rule)
    row = made.counts.iloc[0]
    assert given == [row["rbc"]]
    assert row["rbc"] == row[f"rbc_{rule}"]
    assert row["rbc_interval_95"][0] < row["rbc"] < row["rbc_interval_95"][1]


def test_tiles_of_other_weights_are_not_taken_over(image: Path, tmp_path: Path) -> None:
    class Weighted:
        calls = 0

        def __init__(self, digest: str) -> None:
            self.weights_sha256 = digest

        def __call__(self, name: str, rgb: np.ndarray, rejects: RejectLog) -> list[Piece]:
            Weighted.calls += 1
            return Watershed(SmearInput(name="t", path="x"))(name, rgb, rejects)

    for digest, calls in (("one", 2), ("one", 2), ("another", 4)):
        count(image, tmp_path, Weighted(digest))
        assert Weighted.calls == calls, digest


def test_photos_named_by_date_and_time_are_smears_of_their_own(tmp_path: Path) -> None:
    for folder, names in (("dated", ["IMG_20240312_101112", "IMG_20240312_101145"]), ("plain", ["a", "b"])):
        for name, cells in zip(names, (SPREAD[:5], SPREAD[:3]), strict=True):
            save(tmp_path / folder / f"{name}.png", smear(300, 300, cells))
    dated, plain = (count(tmp_path / folder, tmp_path / "work").counts for folder in ("dated", "plain"))
    assert dated["rbc"].tolist() == plain["rbc"].tolist()
    assert len(dated) == 2
    tiles = tmp_path / "tiles"
    for name in ("0_0", "1_0"):
        save(tiles / f"{name}.png", smear(300, 300, SPREAD[:3]))
    for layout, number in (("auto", 1), ("grid", 1), ("pictures", 2)):
        made = open_smears([tiles], 512, 0, tmp_path / "work", RejectLog("t"), layout)  # type: ignore[arg-type]
        assert len(made) == number, layout


def test_each_tile_is_read_once_whatever_is_named_compared_and_drawn(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[tuple[int, int]] = Counter()
    read = WindowReader.__call__

    def counting(self: WindowReader, place: Place) -> np.ndarray:
        reads[place.left, place.top] += 1
        return read(self, place)

    monkeypatch.setattr(WindowReader, "__call__", counting)
    rgb = cv2.imread(str(image))[..., ::-1]
    for column in range(5):
        for row in range(3):
            (tmp_path / f"masks/{column}_{row}").mkdir(parents=True)
    options = SmearInput(name="t", path="x", tile_px=128, overlap_px=0, reference_masks=str(tmp_path / "masks"))
    drawn, shown = CornerLook("field", 1600), ReducedLook(270)
    looks = [drawn, shown, ReferenceLook(tmp_path / "masks", options), PixelsLook()]
    made = count(image, tmp_path / "work", looks=looks, tile_px=128, overlap_px=0)
    (smear,) = open_smears([image], 128, 0, tmp_path / "work", RejectLog("t"))
    folder = folders_of(made.segmented, tmp_path / "work")["field"]
    assert np.array_equal(corner(smear, folder, drawn), rgb)
    small, scale = reduced(smear, folder, shown)
    assert (small.shape, scale) == ((150, 270, 3), 0.5)
    assert np.abs(small.astype(int) - cv2.resize(rgb, (270, 150), interpolation=cv2.INTER_AREA)).mean() < 1
    assert mask_agreement([smear], made.segmented, tmp_path / "work", options)["field"]["reference"] == 0
    assert len(reads) == made.counts.loc[0, "tiles"] == 15
    assert set(reads.values()) == {1}
    # What only a later run wants to see is read once more, and nothing is segmented again.
    asked = Counting(options)
    count(image, tmp_path / "work", asked, looks=[CornerLook("field", 200)], tile_px=128, overlap_px=0)
    assert asked.calls == 0
    assert sum(reads.values()) == 15 + 4


def test_the_table_of_tiles_gives_the_same_smears_back(image: Path, tmp_path: Path) -> None:
    for column in range(2):
        save(tmp_path / f"grid/S_{column}_0.png", smear(128, 128, [(60, 60)]))
    opened = [
        *open_smears([image], 128, 16, tmp_path, RejectLog("t")),
        *open_smears([tmp_path / "grid"], 128, 16, tmp_path, RejectLog("t")),
    ]
    table_of_tiles(opened, 36.5).to_parquet(tmp_path / "tiles.parquet")
    table = pd.read_parquet(tmp_path / "tiles.parquet")
    assert set(table["cell_px"]) == {36.5}
    for was, again in zip(opened, smears_of(table), strict=True):
        assert (again.name, again.version, again.file, again.grid.places) == (
            was.name,
            was.version,
            was.file,
            was.grid.places,
        )
        for place in was.grid.places:
            assert np.array_equal(again.read(place), was.read(place))
