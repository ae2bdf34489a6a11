"""Files that somebody brings: which are read, what becomes of the rest, and under which names results stand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.large import image_files, names_of
from blood_kedro.library.imaging.read import inspect_image, read_rgb
from blood_kedro.library.reporting.own_images import COCO, shown, write_own_report


def picture(path: Path, form: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), (200, 120, 140), np.uint8)).save(path, form)
    return path


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    for name, form in (("a.jpg", "JPEG"), ("b.webp", "WEBP"), ("c.jfif", "JPEG"), ("sub/e.jpg", "JPEG")):
        picture(tmp_path / name, form)
    (tmp_path / "d.HEIC").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    rejects = Rejects("own")
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
    assert names[2:] == ["a_jpg", "b"]
    assert len(set(names)) == 4


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
