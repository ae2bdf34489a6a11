"""What became of the pictures and labels of a source: one line, a warning for a twentieth, an error for all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.sources.account import Account, Share
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.pipelines.ingestion.nodes import ingest_source
from tests.fixtures.sets import LINE, put, put_coco, read, reasons
from tests.fixtures.trees import chula


def said(folder: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> tuple[int, str, dict[str, Any]]:
    """Level and text of the one line, and the summary."""
    entry = {"name": "lab", "adapter": "yolo", "labels": {"0": "rbc"}, **options}
    with caplog.at_level(logging.INFO):
        summary = ingest_source(folder, SourceOptions(**entry), "reject")[-1]
    (record,) = caplog.records
    return record.levelno, record.getMessage(), summary


def yolo(folder: Path, pictures: int, lines: int) -> None:
    text = "".join(f"0 {0.1 + 0.08 * k:.2f} 0.5 0.05 0.3\n" for k in range(lines))
    for k in range(pictures):
        put(folder / f"{k}.png", seed=k)
        put(folder / f"{k}.txt", text)


def test_a_good_set_is_said_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    yolo(tmp_path, 3, 4)
    level, text, summary = said(tmp_path, caplog)
    assert level == logging.INFO
    assert text == ("source lab: 3 pictures found, 3 kept, 0 rejected; 12 labels found, 12 kept, 0 rejected")
    assert (summary["images_found"], summary["annotations_found"]) == (3, 12)


@pytest.mark.parametrize(("bad", "level"), [(2, logging.INFO), (3, logging.WARNING)])
def test_more_than_a_twentieth_of_the_labels_lost_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: int, level: int
) -> None:
    yolo(tmp_path, 4, 10)
    path = tmp_path / "2.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"7{line[1:]}" for line in lines[:bad]] + lines[bad:]))
    assert said(tmp_path, caplog)[:2] == (
        level,
        f"source lab: 4 pictures found, 4 kept, 0 rejected; 40 labels found, {40 - bad} kept, {bad} rejected; mostly: "
        f"{bad} x label: unknown label '7' of source 'lab'"
        + ("; look at lab.rejects" if level == logging.WARNING else ""),
    )


def test_more_than_a_twentieth_of_the_pictures_lost_is_a_warning_and_their_labels_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yolo(tmp_path, 5, 2)
    put(tmp_path / "1.png", b"no picture")
    put(tmp_path / "2.png", b"")
    (tmp_path / "3.txt").unlink()
    put(tmp_path / "labels/ghost.txt", LINE * 3)
    level, text, summary = said(tmp_path, caplog)
    assert level == logging.WARNING
    assert "5 pictures found, 2 kept, 3 rejected; 11 labels found, 4 kept, 7 rejected; mostly: " in text
    assert "1 x picture: image without label file" in text
    assert summary["annotations_rejected"] == 7


def test_the_same_cell_labelled_twice_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "a.png")
    put(tmp_path / "a.txt", LINE * 2)
    level, text, _ = said(tmp_path, caplog)
    assert level == logging.INFO
    assert "2 labels found, 1 kept, 1 rejected (1 of them the same cell as another)" in text


def test_all_labels_lost_is_an_error_and_so_are_all_pictures(tmp_path: Path) -> None:
    yolo(tmp_path, 2, 3)
    with pytest.raises(SourceNotFoundError, match="no usable image") as caught:
        read(tmp_path, "yolo", labels={"RBC": "rbc"})
    assert "6 labels found, 0 kept, 6 rejected; mostly: 6 x label: unknown label '0'" in str(caught.value)
    put(tmp_path / "empty.png")
    put(tmp_path / "empty.txt", "")
    with pytest.raises(SourceNotFoundError, match="no usable label"):
        read(tmp_path, "yolo", labels={"RBC": "rbc"})


def test_a_picture_that_no_json_lists_is_a_reject(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        put(tmp_path / name)
    put_coco(tmp_path / "annotations.json", ["a.png"], [{}])
    assert reasons(read(tmp_path, "coco")) == {"sub/b.png": "no COCO json lists it"}


def test_what_a_limit_leaves_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    yolo(tmp_path, 6, 2)
    level, text, _ = said(tmp_path, caplog, limit=2)
    assert level == logging.INFO
    assert "6 pictures found, 2 kept, 0 rejected, 4 not read (limit); 12 labels found, 4 kept" in text


def test_losses_that_a_published_set_is_known_for_are_said_without_a_warning(tmp_path: Path) -> None:
    labels = {str(n): "10 10 0\n" for n in range(1, 9)}
    chula(tmp_path, {**labels, "9": ""})
    for n in range(10, 14):
        put(tmp_path / f"Dataset/{n}.jpg", seed=n)
    account = ingest(SOURCES["chula"], tmp_path, strict=False).account
    assert (account.pictures.rejected, account.known, account.worth_a_warning) == (5, 5, False)
    assert "13 pictures found, 8 kept, 5 rejected (5 of them known of this set)" in account.text()
    put(tmp_path / "Dataset/14.jpg", b"")
    put(tmp_path / "Label/14.txt", "10 10 0\n")
    assert ingest(SOURCES["chula"], tmp_path, strict=False).account.worth_a_warning


def test_a_hundred_known_losses_do_not_hide_others() -> None:
    labels = Share(0, 0, 0)
    assert not Account(Share(700, 615, 85), labels, (), known=85).worth_a_warning
    assert Account(Share(700, 580, 120), labels, (), known=85).worth_a_warning
