"""Which label file belongs to which picture, and names that clash."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from blood_kedro.library.core.distinct import file_names
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions
from blood_kedro.library.standardization.standardize import standardize_source
from tests.fixtures.sets import CELL, LABELS, LINE, cells, put, put_coco, put_voc, read, reasons
from tests.fixtures.trees import Bccd, chula, picture

TWO = (CELL, ("WBC", 40, 3, 60, 30))


def test_names_that_repeat_in_each_folder_stay_in_their_folder(tmp_path: Path) -> None:
    for slide in ("slide1", "slide2"):
        for name in ("0001", "0002"):
            put(tmp_path / slide / f"{name}.jpg")
    put_voc(tmp_path / "slide1/0001.xml", CELL)
    put_voc(tmp_path / "slide2/0001.xml", *TWO)
    put_voc(tmp_path / "slide2/0002.xml", *TWO)
    tables = read(tmp_path, "voc")
    assert cells(tables) == {"slide1/0001": 1, "slide2/0001": 2, "slide2/0002": 2}
    assert reasons(tables) == {"slide1/0002.jpg": "image without label file"}


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        ("{}/JPEGImages/0001.jpg", "{}/Annotations/0001.xml"),
        ("JPEGImages/{}/0001.jpg", "Annotations/{}/0001.xml"),
        ("{}/photos/0001.jpg", "{}/boxes/0001.xml"),
    ],
)
def test_folders_beside_each_other_are_pairs(tmp_path: Path, pictures: str, labels: str) -> None:
    for slide in ("s1", "s2", "s3"):
        put(tmp_path / pictures.format(slide))
    put_voc(tmp_path / labels.format("s1"), CELL)
    put_voc(tmp_path / labels.format("s3"), *TWO)
    tables = read(tmp_path, "voc")
    stem = pictures.removesuffix(".jpg")
    assert cells(tables) == {stem.format("s1"): 1, stem.format("s3"): 2}
    assert reasons(tables) == {pictures.format("s2"): "image without label file"}


def test_other_pictures_of_the_name_take_no_labels(tmp_path: Path) -> None:
    """Pascal VOC keeps pictures of regions beside those of the scene."""
    for folder in ("JPEGImages", "SegmentationClass"):
        put(tmp_path / folder / "a.png")
    put_voc(tmp_path / "Annotations/a.xml", CELL)
    tables = read(tmp_path, "voc")
    assert cells(tables) == {"JPEGImages/a": 1}
    assert set(reasons(tables)) == {"SegmentationClass/a.png"}


def test_across_folders_only_a_name_that_is_there_once_makes_a_pair(tmp_path: Path) -> None:
    for path in ("day1/a.jpg", "day1/b.jpg", "day2/b.jpg", "deep/er/c.jpg"):
        put(tmp_path / path)
    for path in ("day1/x.xml", "boxes/of/a.xml", "boxes/of/b.xml", "boxes/of/c.xml"):
        put_voc(tmp_path / path, CELL)
    tables = read(tmp_path, "voc")
    assert "day1/a" in cells(tables)
    assert "deep/er/c" in cells(tables)
    assert set(reasons(tables)) == {"day1/b.jpg", "day2/b.jpg", "day1/x.xml", "boxes/of/b.xml"}


def test_a_label_file_that_names_another_picture_is_said(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.jpg", "c.png"):
        put(tmp_path / name)
    for name, said in (("a", "a.png"), ("b", "IMG_7.jpg"), ("c", "c.png")):
        path = put_voc(tmp_path / f"{name}.xml", CELL)
        path.write_text(path.read_text().replace("<annotation>", f"<annotation><filename>C:\\x\\{said}</filename>"))
    tables = read(tmp_path, "voc")
    assert cells(tables) == {"a": 1, "b": 1}
    assert reasons(tables, "noted") == {"b.xml": "says that it is for IMG_7.jpg, taken for b.png"}
    assert reasons(tables) == {
        "c.jpg": "its label file c.xml is for c.png",
        "c.png": "second file of the name of c.jpg",
    }


@pytest.mark.parametrize("form", ["coco", "folders"])
def test_pictures_that_differ_by_suffix_alone_are_both_kept(tmp_path: Path, form: str) -> None:
    names = ["RBC/a.jpg", "RBC/a.png", "RBC/a.png.png", "RBC/b.jpg"]
    for seed, name in enumerate(names):
        put(tmp_path / name, seed=seed)
    if form == "coco":
        put_coco(tmp_path / "annotations.json", names, [{"image_id": k} for k in (1, 2, 3, 4)])
    assert cells(read(tmp_path, form)) == {"RBC/a.jpg": 1, "RBC/a.png": 1, "RBC/a.png.png": 1, "RBC/b": 1}


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_one_label_file_is_of_one_picture(tmp_path: Path, form: str) -> None:
    for seed, name in enumerate(("a.jpg", "a.png", "b.jpg")):
        put(tmp_path / name, seed=seed)
    for name in ("a", "b"):
        put_voc(tmp_path / f"{name}.xml", CELL) if form == "voc" else put(tmp_path / f"{name}.txt", LINE)
    tables = read(tmp_path, form, labels={**LABELS, "0": "rbc"})
    assert cells(tables) == {"a": 1, "b": 1}
    assert reasons(tables) == {"a.png": "second file of the name of a.jpg"}


def test_published_sets_keep_the_first_picture_of_a_name(tmp_path: Path) -> None:
    tree = Bccd(tmp_path / "bccd")
    tree.add("a", [CELL])
    tree.image("a", 1, ".png")
    chula(tmp_path / "chula", {"1": "10 10 0\n"})
    picture(5).save(tmp_path / "chula/Dataset/1.png")
    for name in ("bccd", "chula"):
        tables = ingest(SOURCES[name], tmp_path / name, strict=False)
        assert (len(tables.index), tables.account.pictures.rejected) == (1, 1)
    for seed, path in enumerate(("basophil/BA_1.jpg", "basophil/BA_1.png")):
        put(tmp_path / "pbc" / path, seed=seed)
    ids = ingest(SOURCES["pbc"], tmp_path / "pbc", strict=False).index["image_id"].tolist()
    assert ids == ["pbc/basophil/BA_1.jpg", "pbc/basophil/BA_1.png"]


def test_two_pictures_never_share_a_standardized_file(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    names = [
        "RBC/k/z.jpg",
        "RBC/k__z.jpg",
        "RBC/A.jpg",
        "RBC/a.jpg",
        f"RBC/{composed}.jpg",
        f"RBC/{split}.jpg",
        f"RBC/{'long' * 30}/{'name' * 40}.jpg",
        "RBC/plain.jpg",
    ]
    for seed, name in enumerate(names):
        put(tmp_path / "raw" / name, seed=seed)
    put_coco(tmp_path / "raw/annotations.json", names, [{"image_id": k} for k in range(1, 9)])
    tables = read(tmp_path / "raw", "coco")
    options = StandardizationOptions(boxes="paper", workers=1, sources={"lab": SourceBoxes()})
    done = standardize_source(
        tables.index, tables.annotations, tmp_path / "raw", tmp_path / "out", options, seed=0, strict=True
    )
    files = [path.name for path in (tmp_path / "out/images").iterdir()]
    assert len(files) == len(done.metadata) == len({unicodedata.normalize("NFC", file).lower() for file in files}) == 8
    assert "RBC__plain.png" in files
    assert len({path.read_bytes() for path in (tmp_path / "out/images").iterdir()}) == 8


def test_file_names_do_not_depend_on_order_and_stay_where_none_clash() -> None:
    ids = ["k/z", "k__z", "a", "x" * 300]
    names = dict(zip(ids, file_names(ids, ".png"), strict=True))
    assert names["a"] == "a.png"
    assert dict(zip(ids[::-1], file_names(ids[::-1], ".png"), strict=True)) == names
    assert all(len(name.encode()) <= 255 for name in names.values())
    taken = names["k/z"].removesuffix(".png")  # a picture that has the very name of the way out
    assert len(set(file_names([*ids, taken], ".png"))) == 5
