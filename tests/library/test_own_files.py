"""Files that somebody brings: which are read, what becomes of the rest, and under which names results stand."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.detection.detect_pictures import DetectedPictures, Seen, look_at
from blood_kedro.library.detection.tiled import detect_image
from blood_kedro.library.imaging import large
from blood_kedro.library.imaging.large import image_files, names_of, opened, pixels_of
from blood_kedro.library.imaging.read import inspect_image, read_rgb
from blood_kedro.library.reporting.picture_pages import COCO, shown, write_own_report
from blood_kedro.library.shipped.load import load
from blood_kedro.library.sources.folders import ClassFolders
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions


def picture(path: Path, form: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), (200, 120, 140), np.uint8)).save(path, form)
    return path


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    for name, form in (("a.jpg", "JPEG"), ("b.webp", "WEBP"), ("c.jfif", "JPEG"), ("sub/e.jpg", "JPEG")):
        picture(tmp_path / name, form)
    (tmp_path / "d.HEIC").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    rejects = RejectLog("own")
    found = image_files([tmp_path], rejects)
    assert [path.name for path in found] == ["a.jpg", "b.webp", "c.jfif"]
    for path in found:
        assert read_rgb(path).shape == (20, 30, 3)
        assert inspect_image(path).notes == ()
    noted = {Path(str(row["path"])).name: str(row["reason"]) for row in rejects.rows}
    assert set(noted) == {"d.HEIC", "sub"}
    assert all(reason.startswith("not used") for reason in noted.values())


def test_postscript_under_the_name_of_a_picture_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    assert Image.open(io.BytesIO(path.read_bytes())).format == "EPS"
    for read in (read_rgb, inspect_image):
        with pytest.raises(BadInputError):
            read(path)


def test_no_two_files_share_a_name() -> None:
    names = names_of([Path(name) for name in ("a.jpg", "a.png", "a_jpg.png", "b.tif")])
    assert names == ["a_jpg", "a_png", "a_jpg_png", "b"]
    assert names_of([Path("A.jpg"), Path("a.jpg")]) == ["A_jpg_1", "a_jpg_2"]  # one file on some disks
    assert names_of([Path("x/a.jpg"), Path("y/a.jpg")]) == ["a_jpg_1", "a_jpg_2"]


def test_coco_names_the_files_that_annotation_tools_open(tmp_path: Path) -> None:
    cells = pd.DataFrame(
        [["a", "rbc", 0.9, 1.0, 2.0, 11.0, 12.0]],
        columns=["image", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"],
    )
    counts = pd.DataFrame(
        [["a", 30, 20, 1, 0, 0]], columns=["image", "width_px", "height_px", "rbc", "wbc", "platelet"]
    )
    pixels = np.full((20, 30, 3), 230, np.uint8)
    write_own_report(
        tmp_path / "own", "Cells", [shown("a", pixels, "a.jpg")], cells, counts, [], pd.DataFrame(columns=["path"])
    )
    content = json.loads((tmp_path / "own" / COCO).read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg"]


def cells_at(look: Path, work: Path, rejects: RejectLog) -> DetectedPictures:
    """What a detector that finds one cell in the middle of every picture says."""

    def seen(pixels: np.ndarray) -> Seen:
        height, width = pixels.shape[:2]
        return Seen(np.array([[width / 4, height / 4, width / 2, height / 2]]), ["rbc"], np.ones(1))

    return look_at(seen, [look], work, rejects)


def test_bad_pictures_of_a_folder_are_rejects_and_the_others_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    picture(folder / "good.png", "PNG")
    (folder / "cut.jpg").write_bytes(picture(tmp_path / "whole.jpg", "JPEG").read_bytes()[:200])
    (folder / "text.tif").write_text("no picture")
    (folder / "empty.bmp").touch()
    os.mkfifo(folder / "pipe.png")
    bad = {"cut.jpg", "text.tif", "empty.bmp", "pipe.png"}
    for read in (
        lambda rejects: cells_at(folder, tmp_path / "work", rejects).counts["image"].tolist(),
        lambda rejects: [smear.name for smear in open_smears([folder], 512, 0, tmp_path / "work", rejects)],
    ):
        rejects = RejectLog("own")
        assert read(rejects) == ["good"]
        assert {Path(str(row["path"])).name for row in rejects.rows if row["action"] == "dropped"} == bad
    (folder / "good.png").unlink()
    with pytest.raises(SourceNotFoundError, match=r"cut\.jpg: image cannot be decoded"):
        cells_at(folder, tmp_path / "work", RejectLog("own"))
    with pytest.raises(SourceNotFoundError, match=r"cut\.jpg: image cannot be decoded"):
        open_smears([folder], 512, 0, tmp_path / "work", RejectLog("own"))


def test_how_values_were_read_is_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = np.random.default_rng(0).integers(2000, 4000, (3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="minisblack", compression="zlib")
    said = []
    for most in (40_000_000, 10, 10):  # in memory, unpacked to the disk, and found there
        monkeypatch.setattr(large, "_UNPACKED_PIXELS", most)
        rejects = RejectLog("own")
        open_smears([tmp_path / "a.tif"], 512, 0, tmp_path / "work", rejects)
        said.append([str(row["reason"]) for row in rejects.rows])
    assert said[0] == said[1] == said[2]
    assert [len(said[0]), "2 of 3 pages" in said[0][0], "12 bits" in said[0][1]] == [2, True, True]


def test_a_spoiled_unpacked_picture_is_unpacked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_UNPACKED_PIXELS", 10)
    path = picture(tmp_path / "a.png", "PNG")
    found = opened(path, tmp_path / "work", RejectLog("own"))
    assert found is not None
    found.file.write_bytes(found.file.read_bytes()[:200])
    again = opened(path, tmp_path / "work", RejectLog("own"))
    assert again is not None
    assert np.array_equal(pixels_of(again.file), read_rgb(path))


def test_pictures_of_a_source_that_cannot_be_read_are_rejects(tmp_path: Path) -> None:
    picture(tmp_path / "RBC/good.png", "PNG")
    picture(tmp_path / "RBC/tiny.png", "PNG")
    Image.new("RGB", (2, 2)).save(tmp_path / "RBC/tiny.png")
    tifffile.imwrite(tmp_path / "RBC/stack.tif", np.full((2, 20, 30, 3), 200, np.uint8), photometric="rgb")
    os.mkfifo(tmp_path / "RBC/pipe.png")
    (tmp_path / "RBC/loop.jpg").symlink_to(tmp_path / "RBC/loop.jpg")
    (tmp_path / "RBC/folder.tif").mkdir()
    (tmp_path / "RBC" / os.fsdecode(b"\xff.png")).write_bytes((tmp_path / "RBC/good.png").read_bytes())
    options = SourceOptions.model_validate({"name": "own", "adapter": "folders", "labels": {"RBC": "rbc"}})
    tables = ingest(ClassFolders(options), tmp_path, strict=False)
    assert tables.index["image_id"].tolist() == ["own/RBC/good", "own/RBC/stack", "own/RBC/tiny"]
    dropped = tables.rejects[tables.rejects["action"] == "dropped"]
    assert sorted(dropped["path"]) == ["RBC/\\xff.png", "RBC/folder.tif", "RBC/loop.jpg", "RBC/pipe.png"]
    noted = tables.rejects[tables.rejects["action"] == "noted"]
    assert noted["reason"].tolist() == ["not used: 1 of 2 pages; the first is read"]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 3000), (3000, 7)])
def test_a_picture_that_is_narrower_than_a_cell_shows_none(shape: tuple[int, int]) -> None:
    def never(_: object) -> None:
        raise AssertionError("the network is asked")

    pixels = np.full((*shape, 3), 200, np.uint8)
    assert len(detect_image(never, pixels, never).boxes) == 0  # type: ignore[arg-type]
    for cell_px in (None, 40.0):
        assert len(load("cells").predict(pixels, cell_px)) == 0
