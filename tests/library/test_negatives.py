"""Pictures without a cell stay, from the label file to training; those of which nobody knows what they show do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.detection.data import DetectionData
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.predict import predict
from blood_kedro.library.evaluation.coco_metrics import detection_metrics, metrics_by_source
from blood_kedro.library.evaluation.errors import error_analysis
from blood_kedro.library.merging.describe import composition, to_coco
from blood_kedro.library.merging.merge import Merged, merge_sources
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions
from blood_kedro.library.standardization.standardize import from_csv, standardize_source
from tests.fixtures.corpora import tiny_corpus, tiny_regimen
from tests.fixtures.sets import CELL, LINE, cells, put, put_coco, put_voc, read, reasons
from tests.fixtures.trees import picture

LABELS = {"RBC": "rbc", "0": "rbc"}


def corpus(tmp_path: Path, sources: dict[str, str], **options: Any) -> Merged:
    """Sources (name: format) below `tmp_path`, standardized, through their csv, and merged."""
    settings = StandardizationOptions(
        boxes=options.pop("boxes", "paper"), workers=1, sources={name: SourceBoxes(cell_px=16) for name in sources}
    )
    annotations, metadata = {}, {}
    for name, form in sources.items():
        tables = read(tmp_path / name, form, name=name, labels=LABELS)
        done = standardize_source(
            tables.index, tables.annotations, tmp_path / name, tmp_path / "std" / name, settings, seed=0, strict=True
        )
        done.annotations.to_csv(tmp_path / f"{name}.csv", index=False)
        annotations[name], metadata[name] = from_csv(pd.read_csv(tmp_path / f"{name}.csv")), done.metadata
    folders = {name: tmp_path / "std" / name for name in sources}
    wanted = MergingOptions(view="full", min_class_count=0, **options)
    return merge_sources(annotations, metadata, folders, tmp_path / "unified", wanted, seed=1)


def listed(merged: Merged, *splits: str) -> set[str]:
    coco = [to_coco(merged.index, merged.annotations, merged.classes, split, 512) for split in splits]
    return {image["image_id"] for part in coco for image in part["images"]}


def test_pictures_with_an_empty_label_file_reach_the_coco_of_the_corpus(tmp_path: Path) -> None:
    for k in range(6):
        put(tmp_path / f"lab/images/{k}.png", seed=k)
        put(tmp_path / f"lab/labels/{k}.txt", "\n" if k > 3 else LINE)
    put(tmp_path / "lab/images/6.png", seed=6)
    merged = corpus(tmp_path, {"lab": "yolo"})
    assert listed(merged, "train", "val", "test") == {f"lab/images/{k}" for k in range(6)}
    assert merged.annotations["image_id"].nunique() == 4
    assert len(list((tmp_path / "unified/images").iterdir())) == 6
    assert composition(merged.index, merged.annotations).iloc[0].tolist() == ["lab", 6, 4]


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_a_file_that_lists_no_cell_says_so_in_other_formats_too(tmp_path: Path, form: str) -> None:
    names = ["a.png", "b.png", "none.png"]
    for k, name in enumerate(names):
        put(tmp_path / "lab" / name, seed=k)
    if form == "coco":
        put_coco(tmp_path / "lab/annotations.json", names, [{"image_id": 1}, {"image_id": 2}])
    else:
        for name, boxes in (("a", [CELL]), ("b", [CELL]), ("none", [])):
            put_voc(tmp_path / f"lab/{name}.xml", *boxes)
    merged = corpus(tmp_path, {"lab": form})
    assert listed(merged, "train", "val", "test") == {"lab/a", "lab/b", "lab/none"}


def test_a_picture_none_of_whose_labels_can_be_used_is_no_negative(tmp_path: Path) -> None:
    texts = {"good": LINE, "line": "no line of a label\n", "class": "7 0.5 0.5 0.3 0.3\n", "small": "0 .5 .5 .001 .3\n"}
    for k, (name, text) in enumerate(texts.items()):
        put(tmp_path / f"{name}.png", seed=k)
        put(tmp_path / f"{name}.txt", text)
    tables = read(tmp_path, "yolo", labels=LABELS)
    assert cells(tables) == {"good": 1}
    lost = {path for path, reason in reasons(tables).items() if reason.startswith("none of its labels can be used")}
    assert lost == {"line.png", "class.png", "small.png"}


def test_a_source_of_nothing_but_negatives_joins_others(tmp_path: Path) -> None:
    for k in range(4):
        put(tmp_path / f"lab/{k}.png", seed=k)
        put(tmp_path / f"lab/{k}.txt", LINE)
        put(tmp_path / f"none/{k}.png", seed=10 + k)
        put(tmp_path / f"none/{k}.txt", "")
    merged = corpus(tmp_path, {"none": "yolo", "lab": "yolo"})
    assert len(listed(merged, "train", "val", "test")) == 8
    assert merged.annotations["ignore"].dtype == bool
    assert set(composition(merged.index, merged.annotations)["source"]) == {"lab", "none", "total"}


def test_the_copy_with_labels_is_kept_of_two_alike(tmp_path: Path) -> None:
    for source, text in (("none", ""), ("lab", LINE)):
        for k in range(3):
            put(tmp_path / f"{source}/{k}.png", seed=k)
            put(tmp_path / f"{source}/{k}.txt", text)
    merged = corpus(tmp_path, {"none": "yolo", "lab": "yolo"})
    assert listed(merged, "train", "val", "test") == {"lab/0", "lab/1", "lab/2"}
    assert len(merged.annotations) == 3
    assert set(merged.rejects["source"]) == {"none"}


def test_a_picture_of_ignored_cells_alone_is_left_out_and_said(tmp_path: Path) -> None:
    for k, name in enumerate(("a.png", "crowd.png")):
        put(tmp_path / "lab" / name, seed=k)
    put_coco(tmp_path / "lab/annotations.json", ["a.png", "crowd.png"], [{}, {"image_id": 2, "iscrowd": 1}])
    merged = corpus(tmp_path, {"lab": "coco"})
    assert listed(merged, "train", "val", "test") == {"lab/a"}
    assert merged.rejects[["path", "action"]].to_numpy().tolist() == [["crowd.png", "noted"]]


def test_cells_that_nobody_labelled_are_ignored_in_negatives_too(tmp_path: Path) -> None:
    """A set of white cells has pictures of red ones alone: they are not background."""
    canvas = np.full((120, 160, 3), 225, np.uint8)
    for x, y in ((30, 30), (80, 60), (120, 90)):
        cv2.circle(canvas, (x, y), 8, (120, 90, 170), -1)
    put(tmp_path / "lab/red.png", cv2.imencode(".png", canvas)[1].tobytes())
    picture(3).save(put(tmp_path / "lab/a.png"))
    put(tmp_path / "lab/red.txt", "")
    put(tmp_path / "lab/a.txt", LINE)
    merged = corpus(tmp_path, {"lab": "yolo"}, boxes="fitted")
    of_red = merged.annotations[merged.annotations["image_id"] == "lab/red"]
    assert (len(of_red), of_red["ignore"].all()) == (3, True)
    assert "lab/red" in listed(merged, "train", "val", "test")


@pytest.mark.slow
def test_training_and_scoring_cope_with_negatives(tmp_path: Path) -> None:
    changes = {"epochs": 1, "augmentation": "paper_r2", "sampler": "repeat_factor", "label_space": "source_aware"}
    coco = tiny_corpus(tmp_path / "images")
    empty = set(range(3, 9))  # a batch of four holds nothing else
    train = {**coco, "annotations": [a for a in coco["annotations"] if a["image_id"] not in empty]}
    data = DetectionData(train, tmp_path / "images", "paper_r2", seed=0)
    for item in (7, (1, 7)):
        target = data[item][1]
        assert (target["boxes"].shape, target["labels"].shape) == ((0, 4), (0,))
    trained = fit(tiny_regimen(**changes), train, train, tmp_path / "images", tmp_path / "work")
    assert all(np.isfinite(row["train_loss"]) and np.isfinite(row["val_loss"]) for row in trained.history)
    results, _ = predict(trained.bundle, train, tmp_path / "images")
    for number in sorted(empty)[:2]:  # a source of negatives alone among those that are judged
        train["images"][number - 1]["source"] = "none"
    found = detection_metrics(train, results, resamples=5, seed=0)
    assert found["images"] == 8
    assert set(metrics_by_source(train, results, resamples=5, seed=0)) == {"none", "synthetic"}
    assert error_analysis(train, results, score=0.5, resamples=5, seed=0)
