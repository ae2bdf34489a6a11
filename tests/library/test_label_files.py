"""What strangers' label files hold: odd values, wrong encodings, files that are none, and files made to harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core import reject_log
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.text_files import read_json, read_text
from tests.fixtures.sets import CELL, LINE, cells, put, put_coco, put_voc, read, reasons
from tests.fixtures.trees import voc

BOMB = (
    '<!DOCTYPE l [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    + "]><annotation>&a9;</annotation>"
)


def box(*corners: object) -> str:
    return voc([("RBC", *corners)])  # type: ignore[arg-type]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (box(1, 1, "1e309", 30), "not a number"),
        (box("nan", 1, 9, 30), "not a number"),
        (box("1_0", 1, 30, 30), "not a number"),
        (box(1, 1, "9" * 6000, 30), "not a number"),
        (box(5, 5, "5.00000000001", 30), "less than a pixel"),
        (box(20, 20, 10, 10), "inverted"),
        (box(1e9, 1e9, 2e9, 2e9), "outside the image"),
        (box(-1e9, -1e9, 1e9, 1e9), "far larger than the image"),
        (BOMB, "malformed XML"),
        ("<a>" * 100_000, "malformed XML"),
        ("", "malformed XML"),
        ("\0" * 50, "malformed XML"),
        ('<?xml version="1.0" encoding="foo"?><annotation/>', "unknown encoding"),
        ('<?xml version="1.0" encoding="rot13"?><annotation/>', "malformed XML"),
        ('<?xml version="1.0" encoding="utf-7"?><annotation/>', "malformed XML"),
        (b"<annotation>\xff\xfe</annotation>", "malformed XML"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "malformed XML"),
    ],
)
def test_a_bad_voc_file_is_its_own_reject(tmp_path: Path, content: str | bytes, reason: str) -> None:
    put_voc(tmp_path / "good.xml", CELL)
    put(tmp_path / "bad.xml", content)
    for name in ("good", "bad"):
        put(tmp_path / f"{name}.png")
    tables = read(tmp_path, "voc")
    assert cells(tables) == {"good": 1}
    assert reason in reasons(tables)["bad.xml"]
    assert "label" in reasons(tables)["bad.png"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("0 .5 .5 1e309 .3", "neither class and box"),
        ("0 nan .5 .3 .3", "neither class and box"),
        ("0 true .5 .3 .3", "neither class and box"),
        ("[0] .5 .5 .3 .3", "neither class and box"),
        ("0 0_1 .5 .3 .3", "neither class and box"),
        ("9" * 6000 + " .5 .5 .3 .3", "neither class and box"),
        ("0 " * 1_000_000, "neither class and box"),
        ("0 .5 .5 1e-20 1e-20", "without area"),
        ("0 .5 .5 .001 .3", "less than a pixel"),
        ("0 .5 .5 -.3 .3", "without area"),
        ("0 30 20 10 10", "perhaps in px"),
        ("7 .5 .5 .3 .3", "class 7 has no name"),
        ("0.5 .5 .5 .3 .3", "class is no whole number"),
        ("-1 .5 .5 .3 .3", "class is no whole number"),
        (LINE.encode("utf-16"), "UTF-16"),
        (b"0 \xff .5 .3 .3", "not UTF-8"),
        ("\0" * 50, "zero bytes"),
        ("x\n" * 300_000, "more than 200000 lines"),
    ],
)
def test_a_bad_yolo_file_is_its_own_reject(tmp_path: Path, content: str | bytes, reason: str) -> None:
    put(tmp_path / "classes.txt", "RBC\n")
    put(tmp_path / "good.txt", LINE)
    put(tmp_path / "bad.txt", content)
    for name in ("good", "bad"):
        put(tmp_path / f"{name}.png")
    tables = read(tmp_path, "yolo")
    assert cells(tables) == {"good": 1}
    assert reason in reasons(tables)["bad.txt"]
    assert "label" in reasons(tables)["bad.png"]


@pytest.mark.parametrize(
    "content",
    ["\ufeff" + LINE, LINE.replace("\n", "\r\n") + "\r\n", "0 .1 .1 .5 .1 .5 .5", "0 0.5 0.5 1.01 0.3"],
    ids=["byte order mark", "line ends of Windows", "polygon", "slightly over the border"],
)
def test_what_tools_write_is_read(tmp_path: Path, content: str) -> None:
    put(tmp_path / "classes.txt", "\ufeffRBC\r\n")
    put(tmp_path / "a.txt", content)
    put(tmp_path / "a.png")
    assert cells(read(tmp_path, "yolo")) == {"a": 1}


def test_voc_in_an_encoding_that_it_declares_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a.xml", voc([CELL]).encode("utf-16"))
    put(tmp_path / "b.xml", '<?xml version="1.0" encoding="iso-8859-1"?>' + voc([CELL]).replace("><", ">\r\n<"))
    for name in ("a", "b"):
        put(tmp_path / f"{name}.png")
    assert cells(read(tmp_path, "voc")) == {"a": 1, "b": 1}


LAUGHS = "a: &a [x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + name] * 9)}]\n" for name, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LAUGHS + "names: *i", "aliases"),
        ("names: " + "[" * 100_000, "nested too deep"),
        ("names: " + "{a: " * 50_000, "nested too deep"),
        ("- " * 100_000, "nested too deep"),
        ("names: !!python/object/apply:os.system [ls]", "tags are not read"),
        ("names: [[RBC]]", "no text"),
        ("names: &a [*a]", "no text"),
        ("names: {0: RBC, 0: WBC}", "twice"),
        ("names: [RBC]\nnames: [WBC]", "twice"),
        ("names: {.inf: RBC}", "no number"),
        ("names: [RBC]\n---\nnames: [WBC]", "no yaml"),
        ("names: [" + "x," * 600_000 + "]", "larger than"),
        ("names: [RBC]".encode("utf-16"), "UTF-16"),
        ("", "missing"),
    ],
)
def test_a_bad_list_of_class_names_names_nothing(tmp_path: Path, content: str | bytes, reason: str) -> None:
    put(tmp_path / "data.yaml", content)
    put(tmp_path / "a.txt", LINE)
    put(tmp_path / "a.png")
    tables = read(tmp_path, "yolo", labels={0: "rbc"})
    assert cells(tables) == {"a": 1}
    assert reason in reasons(tables, "noted")["data.yaml"]


def test_class_names_are_what_is_written(tmp_path: Path) -> None:
    """YAML 1.1 takes `No` for a truth value and 1.10 for a number."""
    put(tmp_path / "data.yaml", "x: &cell RBC\nnames: {0: No, 1.0: 1.10, 2: *cell}")
    put(tmp_path / "a.txt", LINE + LINE.replace("0 ", "1 ", 1) + LINE.replace("0 ", "2 ", 1))
    put(tmp_path / "a.png")
    labels = {"No": "rbc", "1.10": "wbc", "RBC": "platelet"}
    assert read(tmp_path, "yolo", labels=labels).annotations["label"].tolist() == ["rbc", "wbc", "platelet"]


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [3, 3, 1e-20, 1e-20]}, "zero-area box"),
        ({"bbox": [3, 3, 0.2, 20]}, "less than a pixel"),
        ({"bbox": [True] * 4}, "not four numbers"),
        ({"bbox": [[3], 3, 9, 9]}, "not four numbers"),
        ({"bbox": {"x": 1}}, "not four numbers"),
        ({"bbox": "3,3,9,9"}, "not four numbers"),
        ({"bbox": [3, 3, float("inf"), 9]}, "not four numbers"),
        ({"bbox": [3, 3, float("nan"), 9]}, "not four numbers"),
        ({"bbox": [3, 3, 10**400, 9]}, "not four numbers"),
        ({"bbox": [1e308, 3, 1e308, 9]}, "not a number"),
        ({"bbox": [3, 3, -20, 20]}, "box of -20 x 20 px"),
        ({"bbox": [300, 300, 20, 20]}, "outside the image"),
        ({"bbox": [-1e6, -1e6, 2e6, 2e6]}, "far larger"),
        ({"category_id": True}, "category True"),
        ({"category_id": None}, "category None"),
        ({"category_id": 3}, "category 3"),
        ({"image_id": None}, "image None"),
        ({"image_id": [1]}, "belongs to image"),
        ({"iscrowd": "yes"}, "iscrowd"),
        ({"iscrowd": [1]}, "iscrowd"),
        ({"bbox": [], "segmentation": [[3, 3, 30, 3, 30, 30]]}, "not four numbers"),
    ],
)
def test_a_bad_coco_annotation_is_its_own_reject(tmp_path: Path, annotation: dict[str, Any], reason: str) -> None:
    put(tmp_path / "a.png")
    put_coco(tmp_path / "annotations.json", ["a.png"], [{}, annotation])
    tables = read(tmp_path, "coco")
    assert cells(tables) == {"a": 1}
    row = tables.rejects.iloc[0]
    assert (reason in row["reason"], row["row"], row["kind"]) == (True, 2, "annotation")


def test_boxes_of_polygons_where_there_is_no_place_for_a_box(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    path = put_coco(tmp_path / "annotations.json", ["a.png"], [{}, {}, {}, {}])
    places = iter(
        [
            '"segmentation": [[3, 4, 30, 4, 30, 40], [1, 9, 2, 9, 2, 10]]',
            '"segmentation": {"size": [48, 64]}',
            '"segmentation": [[3, 4]]',
            '"segmentation": []',
        ]
    )
    parts = path.read_text().split('"bbox": [3, 3, 20, 20]')
    path.write_text("".join(part + next(places, "") for part in parts))
    tables = read(tmp_path, "coco")
    columns = ["x_min_px", "y_min_px", "x_max_px", "y_max_px"]
    assert tables.annotations[columns].to_numpy().tolist() == [[1, 4, 30, 40]]
    found = tables.rejects["reason"].tolist()
    assert ["no box" in text or "not four numbers" in text for text in found] == [True] * 3


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested too deep"),
        ("", "no JSON"),
        ("[]", "images is no list"),
        ("{", "no JSON"),
        ('{"images": [], "images": []}', "twice"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"\xff", "not UTF-8"),
        ("[" + "{}," * 10_000_001 + "{}]", "more than"),
    ],
)
def test_a_bad_coco_json_is_a_reject(tmp_path: Path, content: str | bytes, reason: str) -> None:
    put(tmp_path / "annotations/bad.json", content)
    put(tmp_path / "a.png")
    put_coco(tmp_path / "annotations/good.json", ["a.png"], [{}])
    tables = read(tmp_path, "coco")
    assert cells(tables) == {"a": 1}
    assert reason in reasons(tables)["annotations/bad.json"]


def test_what_a_coco_json_says_twice_is_not_guessed(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    put(tmp_path / "b.png")
    path = put_coco(
        tmp_path / "annotations.json",
        ["a.png", "b.png", "./x/../b.png"],
        [
            {},
            {"category_id": 2},
            {"bbox": [1, 1, 9, 9]},
            {"image_id": 2.0},
            {"image_id": "2", "category_id": "1", "bbox": [30, 3, 20, 20]},
        ],
    )
    (tmp_path / "x").mkdir()
    text = path.read_text().replace('"bbox": [1, 1, 9, 9]', '"bbox": [2, 2, 8, 8], "bbox": [1, 1, 9, 9]')
    path.write_text(text.replace('"name": "WBC"}', '"name": "WBC"}, {"id": 2, "name": "RBC"}'))
    tables = read(tmp_path, "coco")
    assert cells(tables) == {"a": 1, "b": 2}
    why = tables.rejects["reason"].tolist()
    assert [text in row for text, row in zip(("several names", "stands there twice", "second time"), why, strict=True)]


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    put_coco(tmp_path / "annotations.json", ["a.png", "\ud800.png", "a\0.png", "x" * 5000, "/etc/passwd"], [{}])
    tables = read(tmp_path, "coco")
    assert cells(tables) == {"a": 1}
    assert (tables.rejects["kind"] == "image").sum() == 4
    tables.rejects.to_csv(tmp_path / "rejects.csv")  # UTF-8 holds them


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("form", "suffix"), [("voc", ".xml"), ("yolo", ".txt")])
def test_only_regular_files_are_opened(tmp_path: Path, form: str, suffix: str) -> None:
    odd = {"folder", "pipe", "device", "loop", "name\udcff"}
    for name in ("good", *odd):
        put(tmp_path / f"{name}.png")
    for name in ("good", "name\udcff"):
        put(tmp_path / f"{name}{suffix}", voc([CELL]) if form == "voc" else LINE)
    for end in (suffix, ".jpg"):
        (tmp_path / f"folder{end}").mkdir()
        os.mkfifo(tmp_path / f"pipe{end}")
        (tmp_path / f"device{end}").symlink_to("/dev/zero")
        (tmp_path / f"loop{end}").symlink_to(tmp_path / f"loop{end}")
    tables = read(tmp_path, form, labels={"RBC": "rbc", "0": "rbc"})
    assert cells(tables) == {"good": 1}
    kinds = tables.rejects[tables.rejects["action"] == "dropped"]["kind"].value_counts().to_dict()
    assert kinds == {"label_file": 5, "image": 9}
    tables.rejects.to_csv(tmp_path / "rejects.csv")


@pytest.mark.parametrize("form", ["coco", "folders"])
def test_only_regular_pictures_are_opened(tmp_path: Path, form: str) -> None:
    put(tmp_path / "RBC/good.png")
    os.mkfifo(tmp_path / "RBC/pipe.png")
    (tmp_path / "RBC/loop.png").symlink_to(tmp_path / "RBC/loop.png")
    if form == "coco":
        put_coco(tmp_path / "annotations.json", ["RBC/good.png"], [{}])
    tables = read(tmp_path, form)
    assert cells(tables) == {"RBC/good": 1}
    assert set(reasons(tables)) == {"RBC/pipe.png", "RBC/loop.png"}


def test_a_json_that_is_a_pipe_is_no_json(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "annotations.json")
    put(tmp_path / "a.png")
    with pytest.raises(SourceNotFoundError, match="a pipe"):
        read(tmp_path, "coco")


def test_more_rejects_of_a_file_than_anybody_reads_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reject_log, "LISTED_PER_FILE", 10)
    put(tmp_path / "a.png")
    put_coco(tmp_path / "annotations.json", ["a.png"], [{}, *[{"bbox": None}] * 25])
    tables = read(tmp_path, "coco")
    assert (tables.account.labels.found, tables.account.labels.rejected) == (26, 25)
    assert (tables.rejects["action"].tolist(), len(tables.rejects)) == (["dropped"] * 10 + ["noted"], 11)


def test_text_files_have_a_largest_size(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "x" * 100)
    assert read_text(tmp_path / "a.txt", limit=100) == "x" * 100
    with pytest.raises(BadInputError, match="larger than"):
        read_text(tmp_path / "a.txt", limit=99)
    put(tmp_path / "a.json", '{"a": 1e309, "b": ' + "9" * 5000 + ', "c": 7}')
    assert read_json(tmp_path / "a.json") == {"a": float("inf"), "b": "9" * 5000, "c": 7}
