"""Slides: opened at a level, read by tiles, with the width of a pixel that their files say; and those that are none."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import SlideReader, counting_level, open_smears
from blood_kedro.library.counting.open.table import smears_of, table_of_tiles
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.imaging.pixel_size import um_per_px
from blood_kedro.library.imaging.slide import Level, Slide, overview, read_slide, window_of
from tests.fixtures.counting import count
from tests.fixtures.slides import reduced, write_ome, write_svs
from tests.library.test_count_smears import Counting

GROUND, RED = (225, 224, 228), (200, 135, 150)
# What JPEG may change of a smooth picture, levels of 255.
JPEG = 3


def smear(side_px: int, cell_px: int = 30) -> tuple[np.ndarray, int]:
    """A square field of red cells on a grid, and how many they are."""
    image = np.full((side_px, side_px, 3), GROUND, np.uint8)
    middles = range(cell_px, side_px - cell_px, cell_px * 2)
    for x in middles:
        for y in middles:
            cv2.circle(image, (x, y), cell_px // 2, RED, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1), len(middles) ** 2


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return smear(900)[0]


def opened(path: Path, work: Path, **more: int) -> tuple[list, RejectLog]:
    rejects = RejectLog("t")
    return open_smears([path], more.get("tile_px", 256), more.get("overlap_px", 0), work, rejects), rejects


@pytest.mark.parametrize("write", [write_svs, write_ome], ids=["SVS", "OME-TIFF"])
def test_a_slide_is_read_tile_by_tile(write, rgb: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("blood_kedro.library.imaging.large._UNPACKED_PIXELS", 1000)
    path = write(tmp_path / ("a.svs" if write is write_svs else "a.ome.tif"), rgb)
    (smear,), rejects = opened(path, tmp_path / "work")
    assert smear.read == SlideReader(path, 0)
    assert (smear.grid.width_px, smear.grid.height_px) == (900, 900)
    assert smear.um_per_px == pytest.approx(0.25)
    assert not rejects.rows
    assert not (tmp_path / "work").exists()
    read = pickle.loads(pickle.dumps(smear.read))
    for place in smear.grid.places:
        shown = rgb[place.top : place.top + place.height, place.left : place.left + place.width]
        tile = read(place)
        assert tile.shape == shown.shape
        assert np.abs(tile.astype(int) - shown).mean() < JPEG
    table = table_of_tiles([smear], 30)
    (again,) = smears_of(table)
    assert again == smear.__class__(**{**vars(smear), "grid": again.grid})
    assert again.grid.places == smear.grid.places


def test_cells_of_a_slide_are_those_of_its_picture(tmp_path: Path) -> None:
    rgb, cells = smear(900)
    made = count(write_svs(tmp_path / "a.svs", rgb), tmp_path / "work", cell_px=30, tile_px=256, overlap_px=32)
    assert made.counts.loc[0, "rbc"] == cells
    assert made.counts.loc[0, "tiles"] == 16


@pytest.mark.parametrize(
    ("um", "level"),
    [(0.25, 0), (0.1, 1), (0.07, 1), (0.05, 2), (0.5, 0), (float("nan"), 0)],
    ids=["40x", "100x", "two and a half times", "three quarters", "20x", "not known"],
)
def test_the_smallest_level_with_wide_cells_is_read(um: float, level: int) -> None:
    levels = tuple(Level(8000 // factor, 8000 // factor, factor) for factor in (1, 2, 4, 16))
    assert counting_level(Slide(Path("a.svs"), "aperio", levels, None), um) == level


def test_a_smaller_level_is_a_smaller_smear(tmp_path: Path) -> None:
    rgb = smear(1200, cell_px=120)[0]
    (found,), _ = opened(write_svs(tmp_path / "a.svs", rgb, um_per_px=0.0625), tmp_path)
    assert found.read == SlideReader(tmp_path / "a.svs", 1)
    assert found.um_per_px == pytest.approx(0.25)
    assert found.grid.width_px == 300
    shown = found.read(found.grid.places[0])
    assert np.abs(shown.astype(int) - reduced(rgb, 4)[:256, :256]).mean() < JPEG
    small = overview(tmp_path / "a.svs", 400)
    assert small is not None
    assert small.shape == (300, 300, 3)
    assert overview(tmp_path / "a.svs", 200) is None


def test_small_tiff_is_read_as_ever(rgb: np.ndarray, tmp_path: Path) -> None:
    (found,), rejects = opened(write_ome(tmp_path / "a.ome.tif", rgb, "deflate"), tmp_path)
    assert not isinstance(found.read, SlideReader)
    assert np.array_equal(found.read(found.grid.places[0]), rgb[:256, :256])
    assert found.um_per_px == pytest.approx(0.25)
    assert "1 smaller or other pictures" in rejects.rows[0]["reason"]


def test_a_slide_of_more_pixels_than_are_decoded_is_read_by_tiles(rgb, tmp_path: Path, monkeypatch) -> None:
    path = write_ome(tmp_path / "a.ome.tif", rgb)
    for name in ("large._UNPACKED_PIXELS", "files.MOST_PIXELS"):
        monkeypatch.setattr(f"blood_kedro.library.imaging.{name}", 100_000)
    (found,), _ = opened(path, tmp_path)
    assert np.abs(found.read(found.grid.places[-1]).astype(int) - rgb[768:, 768:]).mean() < JPEG


def _cut(path: Path, rgb: np.ndarray) -> Path:
    content = write_svs(path, rgb).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder, rgb: _cut(folder / "a.svs", rgb), "cut short"),
        (
            lambda folder, _: _written(folder / "a.mrxs", b"\xff\xd8\xff\xe0" + bytes(500)),
            "slide without its folder: a/",
        ),
        (lambda folder, _: _written(folder / "a.ndpi", b"no slide at all"), "no slide that OpenSlide knows"),
        (lambda folder, _: _written(folder / "a.scn", b""), "zero-byte"),
        (lambda folder, _: _written(folder / "a.tif", b"II*\0" + bytes(200)), "without a picture"),
    ],
    ids=["cut", "MRXS alone", "text", "empty", "damaged TIFF"],
)
def test_what_is_no_slide_is_a_reject_and_others_go_on(make, reason: str, rgb: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder, rgb)
    write_svs(folder / "good.svs", rgb)
    found, rejects = opened(folder, tmp_path / "work")
    assert [smear.name for smear in found] == ["good"]
    (row,) = rejects.rows
    assert row["action"] == "dropped"
    assert reason in str(row["reason"])


def test_a_damaged_tile_is_an_error_and_its_neighbours_are_read(rgb: np.ndarray, tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", rgb)
    with tifffile.TiffFile(path) as tif:
        start, length = tif.pages[0].dataoffsets[1], tif.pages[0].databytecounts[1]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="slide cannot be read"):
        window_of(path, 0, (256, 0, 512, 256))
    assert np.abs(window_of(path, 0, (0, 0, 256, 256)).astype(int) - rgb[:256, :256]).mean() < JPEG
    made = count(path, tmp_path / "work", cell_px=30, tile_px=256, overlap_px=0)
    assert made.counts.loc[0, "failed_tiles"] == 1


def _imagej(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb[..., 0], imagej=True, resolution=(5, 5), metadata={"unit": "um"})


@pytest.mark.parametrize(
    ("name", "write", "um", "place"),
    [
        ("a.svs", lambda path, rgb: write_svs(path, rgb, um_per_px=0.1234), 0.1234, "Aperio"),
        ("a.svs", lambda path, rgb: write_svs(path, rgb, um_per_px=None), None, ""),
        ("a.tif", lambda path, rgb: write_ome(path, rgb, "deflate", 250, "nm"), 0.25, "OME"),
        ("a.tif", lambda path, rgb: write_ome(path, rgb, "deflate", 0.00025, "mm"), 0.25, "OME"),
        ("a.tif", lambda path, rgb: write_ome(path, rgb, "deflate", 1.0, "pixel"), None, ""),
        ("a.tif", lambda path, rgb: write_ome(path, rgb, "deflate", 25.0), None, ""),
        ("a.tif", _imagej, 0.2, "ImageJ"),
        (
            "a.tif",
            lambda path, rgb: tifffile.imwrite(path, rgb, resolution=(1e5, 1e5), resolutionunit="CENTIMETER"),
            0.1,
            "TIFF",
        ),
        (
            "a.tif",
            lambda path, rgb: tifffile.imwrite(path, rgb, resolution=(1e5, 4e4), resolutionunit="CENTIMETER"),
            None,
            "",
        ),
        ("a.tif", lambda path, rgb: tifffile.imwrite(path, rgb, resolution=(72, 72), resolutionunit="INCH"), None, ""),
        ("a.png", lambda path, rgb: Image.fromarray(rgb).save(path, dpi=(101600, 101600)), 0.25, "PNG"),
        ("a.png", lambda path, rgb: Image.fromarray(rgb).save(path, dpi=(96, 96)), None, ""),
        ("a.png", lambda path, rgb: Image.fromarray(rgb).save(path), None, ""),
        ("a.jpg", lambda path, rgb: Image.fromarray(rgb).save(path, dpi=(50800, 50800)), 0.5, "JPEG"),
        ("a.jpg", lambda path, rgb: Image.fromarray(rgb).save(path, dpi=(300, 300)), None, ""),
    ],
)
def test_the_width_of_a_pixel_by_the_file(name: str, write, um: float | None, place: str, tmp_path: Path) -> None:
    write(tmp_path / name, smear(300)[0])
    found = um_per_px(tmp_path / name)
    if um is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(um, rel=1e-3)
        assert place in found[1]


def test_a_scale_that_cannot_be_understood_is_none(rgb: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png", dpi=(101600, 101600))
    (found,), _ = opened(tmp_path / "a.png", tmp_path)
    assert found.um_per_px == pytest.approx(0.25)

    def broken(file: Path) -> None:
        raise BadInputError("image cannot be decoded: odd EXIF", where=str(file))

    monkeypatch.setattr("blood_kedro.library.counting.open.smear.um_per_px", broken)
    (found,), rejects = opened(tmp_path / "a.png", tmp_path)
    assert np.isnan(found.um_per_px)
    assert not rejects.rows


def test_a_slide_says_what_it_holds(rgb: np.ndarray, tmp_path: Path) -> None:
    slide = read_slide(write_svs(tmp_path / "a.svs", rgb))
    assert slide.scanner == "aperio"
    assert [(level.width_px, level.downsample) for level in slide.levels] == [(900, 1.0), (225, 4.0)]
    assert slide.um_per_px == pytest.approx(0.25)


def test_a_slide_that_was_stopped_goes_on_and_workers_give_the_same(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", smear(600)[0])
    options = {"cell_px": 30, "tile_px": 256, "overlap_px": 32}
    settings = SmearInput(name="t", path="x", **options)
    whole = count(path, tmp_path / "a", workers=2, **options)
    with pytest.raises(KeyboardInterrupt):
        count(path, tmp_path / "b", Counting(settings, breaks_at=6), **options)
    rest = Counting(settings)
    again = count(path, tmp_path / "b", rest, **options)
    assert rest.calls == whole.counts.loc[0, "tiles"] - 5
    pd.testing.assert_frame_equal(again.cells, whole.cells)


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from scipy import ndimage
from blood_kedro.assembly.count_rules import COUNT_RULES
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import CountParts, count_pictures
from blood_kedro.library.counting.name.namers import ByStain
from blood_kedro.library.counting.open.fields_fit import choose_fields, with_fields
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import pieces_of_labels
from blood_kedro.library.counting.segment.tiles import segment_smears

class Dark:
    in_one_process = True
    def __call__(self, name, rgb, rejects):
        return pieces_of_labels(np.asarray(ndimage.label(rgb[..., 1] < 180)[0], np.int32))

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for number, path in enumerate(sys.argv[2:]):
    work = Path(sys.argv[1]) / str(number)
    options = SmearInput(name="t", path=path, cell_px=30, most_fields=6, workers=1, resamples=10, tile_px=512,
                         field_limits={"most_looked_at": 20, "least_covered": 0.02})
    (whole,) = open_smears([Path(path)], options.tile_px, options.overlap_px, work, RejectLog("t"))
    chosen = with_fields(whole, choose_fields(whole, options.cell_px, options))
    made = count_pictures([chosen], options, CountParts(Dark(), ByStain(options), COUNT_RULES), work, RejectLog("t"))
    tiles = segment_smears([whole], options, Dark(), work, RejectLog("t"))
    print(peak_mb(), int(made.counts.loc[0, "tiles"]), int(made.counts.loc[0, "rbc"]), len(tiles))
"""


def test_a_larger_slide_needs_no_more_memory(tmp_path: Path) -> None:
    """A slide of 9 times the pixels: if it were held once, it would take 57 MB more than the small one."""
    field = np.full((512, 512, 3), GROUND, np.uint8)
    for x in range(64, 512, 96):
        for y in range(64, 512, 96):
            cv2.circle(field, (x, y), 15, RED, -1, cv2.LINE_AA)
    paths = [write_svs(tmp_path / f"{n}.svs", np.tile(field, (n, n, 1))) for n in (3, 9)]
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "work"), *map(str, paths)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    small, large = ([float(value) for value in line.split()] for line in ran.stdout.splitlines())
    assert (small[1:3], large[1:3]) == ([6, 150], [6, 150])
    assert (small[3], large[3]) == (9, 81)
    assert large[0] - small[0] < 30, f"peak memory {small[0]:.0f} and {large[0]:.0f} MB"
