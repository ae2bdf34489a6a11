"""Labelled pictures of several laboratories at one width of a red cell."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.shipped.cell_options import PictureOptions
from blood_kedro.library.shipped.pictures import fingerprint_of, gather, learnt_from

OPTIONS = PictureOptions(cell_px=32)


Labelled = list[tuple[int, int, int, int, int]]


def write_txl(folder: Path, name: str, size: tuple[int, int], boxes: Labelled) -> np.ndarray:
    """A picture of noise with `(class, x_min, y_min, x_max, y_max)` boxes, as TXL-PBC has them."""
    width, height = size
    rng = np.random.default_rng(len(name) + width)
    pixels = cv2.resize(rng.integers(60, 220, (12, 16, 3), np.uint8), size)
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("WBC\nRBC\nPC\n")
    cv2.imwrite(str(folder / f"images/train/{name}.png"), pixels)
    lines = [
        f"{c} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}"
        for c, x0, y0, x1, y1 in boxes
    ]
    (folder / f"labels/train/{name}.txt").write_text("\n".join(lines))
    return pixels


def test_every_laboratory_comes_at_one_width_of_a_red_cell(tmp_path: Path) -> None:
    folder = tmp_path / "txl_pbc"
    write_txl(folder, "p", (360, 363), [(1, 100, 100, 180, 180), (0, 200, 200, 300, 320), (2, 20, 20, 50, 52)])
    write_txl(folder, "r", (575, 575), [(1, 100, 100, 228, 228), (1, 100, 100, 228, 229)])
    write_txl(folder, "unknown", (300, 200), [(1, 100, 100, 128, 128)])
    rejects = RejectLog("shipped")
    found = {each.laboratory: each for each in gather(tmp_path, OPTIONS, rejects)}
    assert set(found) == {"pbc", "raabin"}
    pbc, raabin = found["pbc"], found["raabin"]
    assert (pbc.zoom, raabin.zoom) == (pytest.approx(32 / 80), pytest.approx(32 / 128))
    assert pbc.pixels.shape == (145, 144, 3)
    assert pbc.labels.tolist() == [0, 1, 2]
    assert pbc.boxes[0] == pytest.approx([40, 40, 72, 72], abs=0.2)
    assert len(raabin.boxes) == 1, "a cell that is labelled twice is one cell"
    assert pbc.known == (True, True, True)
    assert [row["reason"] for row in rejects.rows] == ["no laboratory is known for pictures of 300x200 px"]
    assert fingerprint_of([pbc]) != fingerprint_of([raabin])


def test_nothing_near_the_official_test_list_is_learnt_from(tmp_path: Path) -> None:
    boxes = [(1, 100, 100, 205, 205)]
    pixels = write_txl(tmp_path / "txl_pbc", "copy", (640, 480), boxes)
    write_txl(tmp_path / "txl_pbc", "another one", (640, 480), boxes)
    own = tmp_path / "bccd" / "BCCD"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (own / part).mkdir(parents=True)
    cv2.imwrite(str(own / "JPEGImages/BloodImage_00001.png"), pixels)
    (own / "ImageSets/Main/test.txt").write_text("BloodImage_00001\n")
    (own / "Annotations/BloodImage_00001.xml").write_text(
        "<annotation><size><width>640</width><height>480</height></size><object><name>RBC</name><bndbox><xmin>101</xmin>"
        "<ymin>101</ymin><xmax>205</xmax><ymax>205</ymax></bndbox></object></annotation>"
    )
    pictures = gather(tmp_path, OPTIONS, RejectLog("shipped"))
    assert {each.laboratory for each in pictures} == {"bccd", "bccd_own"}
    assert [each.image_id for each in learnt_from(pictures, frozenset())] == ["txl_pbc/images/train/another one"]


def test_a_chula_field_counts_its_unlabelled_cells_for_nothing(tmp_path: Path) -> None:
    yy, xx = np.mgrid[:240, :320]
    dark = np.hypot(yy % 60 - 30, xx % 60 - 30) < 18
    folder = tmp_path / "chula"
    (folder / "Dataset").mkdir(parents=True)
    (folder / "Label").mkdir()
    cv2.imwrite(str(folder / "Dataset/1.png"), np.where(dark[..., None], 110, 220).repeat(3, axis=2).astype(np.uint8))
    centres = [(30 + 60 * k, 30 + 60 * j) for j in range(4) for k in range(5)][:-4]
    (folder / "Label/1.txt").write_text("\n".join(f"{x} {y} 0" for x, y in centres))
    options = OPTIONS.model_copy(update={"chula_class_size_px": {"0": 38.0}, "chula_min_points": 3})
    (found,) = gather(tmp_path, options, RejectLog("shipped"))
    assert len(found.boxes) == 16
    assert len(found.ignore) == 4
    assert not found.judged, "a fifth of its cells has no label"
    assert found.known == (True, False, False)
    assert np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)) == pytest.approx(32, abs=2)


def test_a_folder_without_any_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        gather(tmp_path, OPTIONS, RejectLog("shipped"))
