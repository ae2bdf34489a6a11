"""Sets in a known format: any COCO json, VOC folder or YOLO folder, with nothing but an entry and a label map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from blood_kedro.library.core.errors import ConfigurationError, SourceNotFoundError
from blood_kedro.library.sources.base import split_of
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter

LABELS = {"RBC": "rbc", "sickle": "sickle_cell"}


def image(path: Path, width: int = 120, height: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(150, 230, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def read(folder: Path, form: str, **options: Any) -> SourceTables:
    entry = SourceOptions(**{"name": "lab", "adapter": form, "labels": LABELS, **options})
    return ingest(adapter(entry), folder, strict=False)


def boxes(tables: SourceTables) -> dict[tuple[str, str], list[float]]:
    columns = ["x_min_px", "y_min_px", "x_max_px", "y_max_px"]
    rows = tables.annotations
    return {(row["image_id"], row["label"]): [float(row[c]) for c in columns] for row in rows.to_dict("records")}


def reasons(tables: SourceTables) -> dict[str, str]:
    return {
        f"{row['path']}:{row['row']}" if row["row"] == row["row"] and row["row"] is not None else row["path"]: row[
            "reason"
        ]
        for row in tables.rejects.to_dict("records")
    }


def coco(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    categories = [{"id": 0, "name": "RBC"}, {"id": 7, "name": "sickle"}, {"id": 8, "name": "ghost"}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def test_coco_json_with_every_fault(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    image(folder / "images/a.png")
    image(folder / "images/b.png")
    image(tmp_path / "secret.png")
    size = {"width": 120, "height": 80}
    coco(
        folder / "annotations.json",
        [
            {"id": 1, "file_name": "a.png", **size},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "no.png"},
            {"id": 4, "file_name": "../../secret.png"},
            {"id": 5, "file_name": "a.png"},
        ],
        [
            {"image_id": 1, "category_id": 0, "bbox": [10, 20, 30, 25]},
            {"image_id": 1, "category_id": 7, "bbox": [50, 5, 20, 20], "iscrowd": 1},
            {"image_id": 2, "category_id": 7, "bbox": [0, 0, 200, 10]},
            {"image_id": 2, "category_id": 8, "bbox": [0, 0, 9, 9]},
            {"image_id": 2, "category_id": 9, "bbox": [0, 0, 9, 9]},
            {"image_id": 2, "category_id": 0, "bbox": [0, 0, 0, 9]},
            {"image_id": 2, "category_id": 0, "bbox": [0, None, 4, 9]},
            {"image_id": 77, "category_id": 0, "bbox": [0, 0, 4, 9]},
        ],
    )
    tables = read(folder, "coco")
    assert boxes(tables) == {
        ("lab/images/a", "rbc"): [10, 20, 40, 45],
        ("lab/images/a", "sickle_cell"): [50, 5, 70, 25],
        ("lab/images/b", "sickle_cell"): [0, 0, 120, 10],
    }
    assert tables.annotations["ignore"].tolist() == [False, True, False]
    found = reasons(tables)
    for name in ("no.png", "../../secret.png"):
        assert (
            f"{name!r}, but there is no such file; looked in: annotations, images/annotations, ., images" in found[name]
        )
    assert found["images/a.png"] == "listed a second time"
    assert "unknown label 'ghost'" in found["annotations.json:4"]
    assert "category 9" in found["annotations.json:5"]
    assert "0 x 9 px" in found["annotations.json:6"]
    assert "not four numbers" in found["annotations.json:7"]
    assert "belongs to image 77" in found["annotations.json:8"]
    assert set(tables.annotations["box_origin"]) == {"annotated"}


def test_coco_per_split_and_what_is_no_coco(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        image(tmp_path / split / f"{split}.png")
        row = {"image_id": 1, "category_id": 0, "bbox": [1, 2, 30, 40]}
        coco(tmp_path / split / "_annotations.coco.json", [{"id": 1, "file_name": f"{split}.png"}], [row])
    (tmp_path / "test").mkdir()
    (tmp_path / "test/_annotations.coco.json").write_text('{"images": 3}')
    tables = read(tmp_path, "coco")
    assert dict(zip(tables.index["image_id"], tables.index["official_split"], strict=True)) == {
        "lab/train/train": "train",
        "lab/valid/valid": "val",
    }
    assert "images is no list" in reasons(tables)["test/_annotations.coco.json"]
    image(tmp_path / "empty/a.png")
    with pytest.raises(SourceNotFoundError, match="no COCO json"):
        read(tmp_path / "empty", "coco")
    with pytest.raises(SourceNotFoundError, match=r"expected: boxes\.json"):
        read(tmp_path, "coco", annotations="boxes.json")


@pytest.mark.parametrize(
    "name", ["images/cell 1.png", "images\\cell 1.png", "images/cell%201.png", "..\\..\\media\\upload\\4\\cell 1.png"]
)
def test_coco_paths_of_other_machines_are_understood(tmp_path: Path, name: str) -> None:
    image(tmp_path / "images/cell 1.png")
    row = {"image_id": "7", "category_id": "0", "bbox": [1, 2, 30, 40]}
    coco(tmp_path / "result.json", [{"id": 7, "file_name": name}], [row])
    assert list(boxes(read(tmp_path, "coco"))) == [("lab/images/cell 1", "rbc")]


def test_coco_pictures_of_one_name_never_get_the_labels_of_each_other(tmp_path: Path) -> None:
    image(tmp_path / "images/0001.png")
    rows = [{"image_id": k, "category_id": 0, "bbox": [k, 2, 30, 40]} for k in (1, 2)]
    images = [{"id": k, "file_name": f"slide{k}/0001.png"} for k in (1, 2)]
    coco(tmp_path / "annotations.json", images, rows)
    with pytest.raises(SourceNotFoundError, match="no usable image"):
        read(tmp_path, "coco")
    (tmp_path / "annotations.json").unlink()
    for k, split in enumerate(("train", "val")):  # nor of one in another json
        coco(tmp_path / f"annotations/{split}.json", [images[k]], [rows[k]])
    with pytest.raises(SourceNotFoundError, match="no usable image"):
        read(tmp_path, "coco")


def test_coco_layout_of_detectron_keeps_its_splits(tmp_path: Path) -> None:
    for split, folder in (("train", "train2017"), ("val", "images/val2017")):
        image(tmp_path / folder / f"{split}.png")
        row = {"image_id": 1, "category_id": 0, "bbox": [1, 2, 30, 40]}
        path = tmp_path / f"annotations/instances_{split}2017.json"
        coco(path, [{"id": 1, "file_name": f"{split}.png"}], [row, {**row, "bbox": 5}, {**row, "category_id": [0]}])
    tables = read(tmp_path, "coco")
    assert sorted(tables.index["official_split"]) == ["train", "val"]
    found = reasons(tables)
    assert "box is not four numbers: 5" in found["annotations/instances_train2017.json:2"]
    assert "category [0]" in found["annotations/instances_val2017.json:3"]


def test_yolo_boxes_polygons_names_and_faults(tmp_path: Path) -> None:
    for name in ("train/a", "val/b", "val/c", "val/d"):
        image(tmp_path / f"images/{name}.jpg")
    (tmp_path / "data.yaml").write_text("names: {0: RBC, 1: sickle}\n")
    texts = {
        "train/a": "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.3 0.1 0.3 0.4\n\n5 0.5 0.5 0.1 0.1\n0 x 0.5 0.1 0.1\n"
        "0 0.5 0.5 0.1\n0 60 40 10 10\n0 0.5 0.5 0 0.1\n",
        "val/b": "",
        "val/ghost": "0 0.5 0.5 0.1 0.1",
        "val/d": "1 0.5 0.5 1.2 0.5",
    }
    for name, text in texts.items():
        path = tmp_path / f"labels/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tables = read(tmp_path, "yolo")
    found = boxes(tables)
    assert found["lab/images/train/a", "rbc"] == pytest.approx([45, 20, 75, 60])
    assert found["lab/images/train/a", "sickle_cell"] == pytest.approx([12, 8, 36, 32])
    assert found["lab/images/val/d", "sickle_cell"] == pytest.approx([0, 20, 120, 60])  # cut at the border
    splits = dict(zip(tables.index["image_id"], tables.index["official_split"], strict=True))
    assert splits == {"lab/images/train/a": "train", "lab/images/val/b": "val", "lab/images/val/d": "val"}
    why = reasons(tables)
    assert why["images/val/c.jpg"] == "image without label file"
    assert why["labels/val/ghost.txt"] == "label file without image"
    assert "class 5 has no name" in why["labels/train/a.txt:4"]
    assert all("neither class and box" in why[f"labels/train/a.txt:{row}"] for row in (5, 6))
    assert "not in shares" in why["labels/train/a.txt:7"]
    assert "without area" in why["labels/train/a.txt:8"]


def test_yolo_without_names_has_numbers_for_labels(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("3 0.5 0.5 0.5 0.5")
    assert list(boxes(read(tmp_path, "yolo", labels={3: "teardrop"}))) == [("lab/a", "teardrop")]
    (tmp_path / "data.yaml").write_text("nc: 4")
    assert "labels are numbers" in reasons(read(tmp_path, "yolo", labels={3: "teardrop"}))["data.yaml"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names: {1: RBC, 7: sickle}"),  # a map has gaps, and begins where it likes
        ("data.yaml", "names: {'7': sickle, '1': RBC}"),
        ("classes.txt", "x\nRBC\n\n\n\n\n\nsickle\n"),  # a blank line keeps its number
        ("labels/classes.txt", "\ufeffx\nRBC\ny\ny\ny\ny\ny\nsickle"),  # as LabelImg leaves it
    ],
)
def test_yolo_names_belong_to_their_numbers(tmp_path: Path, file: str, text: str) -> None:
    image(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("\ufeff1 0.5 0.5 0.5 0.5\n7 0.2 0.2 0.1 0.1\n")
    (tmp_path / file).write_text(text)
    tables = read(tmp_path, "yolo")
    assert sorted(boxes(tables)) == [("lab/images/a", "rbc"), ("lab/images/a", "sickle_cell")]
    assert "labels/classes.txt" not in reasons(tables)


def test_yolo_lists_of_names_that_differ_name_nothing(tmp_path: Path) -> None:
    for folder, names in (("one", "RBC\nsickle"), ("two", "sickle\nRBC")):
        image(tmp_path / folder / "images/a.jpg")
        (tmp_path / folder / "labels").mkdir()
        (tmp_path / folder / "labels/a.txt").write_text("0 0.5 0.5 0.5 0.5")
        (tmp_path / folder / "labels/classes.txt").write_text(names)
    tables = read(tmp_path, "yolo", labels={0: "teardrop"})
    assert {label for _, label in boxes(tables)} == {"teardrop"}
    assert "other class names" in reasons(tables)["two/labels/classes.txt"]


def test_a_number_behind_the_name_of_a_split_is_a_year() -> None:
    assert split_of(Path("images/val2017/a.jpg")) == "val"
    assert split_of(Path("annotations/instances_train2014.json")) == "train"
    assert split_of(Path("test3/a.jpg")) is None


def test_yolo_names_without_numbers_are_no_names(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("3 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("names: {one: RBC}")
    assert "no number" in reasons(read(tmp_path, "yolo", labels={3: "teardrop"}))["data.yaml"]


def test_voc_anywhere_below_the_folder(tmp_path: Path) -> None:
    image(tmp_path / "train/photos/a.jpg")
    image(tmp_path / "train/photos/b.jpg")
    image(tmp_path / "other/a.jpg")
    xml = "<annotation><size><width>120</width><height>80</height></size>{}</annotation>"
    cell = (
        "<object><name>RBC</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>45</ymax></bndbox></object>"
    )
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes/a.xml").write_text(xml.format(cell))
    (tmp_path / "boxes/b.xml").write_text("<annotation>")
    tables = read(tmp_path, "voc", images="train/photos", annotations="boxes", licence="CC0")
    assert boxes(tables) == {("lab/train/photos/a", "rbc"): [10, 20, 40, 45]}
    assert tables.index["official_split"].tolist() == ["train"]
    assert reasons(tables)["train/photos/b.jpg"] == "its label file cannot be read"
    assert reasons(read(tmp_path, "voc"))["train/photos/a.jpg"] == "image without label file"


def test_entries_that_cannot_be_meant() -> None:
    with pytest.raises(ConfigurationError, match="needs a label map"):
        adapter(SourceOptions(name="lab", adapter="coco"))
    with pytest.raises(ConfigurationError, match="expected: synthetic, bccd"):
        adapter(SourceOptions(name="lab", adapter="cocoa"))
    with pytest.raises(ValidationError, match="no such class: erythrocyte"):
        SourceOptions(adapter="coco", labels={"RBC": "erythrocyte"})
    with pytest.raises(ValidationError, match="no such class: cells"):
        SourceOptions(adapter="coco", labels={"RBC": "rbc"}, labelled=("cells",))
    assert SourceOptions(adapter="coco", labels={"a": "rbc", "b": "rbc"}).labelled_classes() == ("rbc",)
