"""Boxes drawn into a copy of an image: recovered from drawings whose boxes are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blood_kedro.library.core.boxes import iou
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.imaging.marks import drawn_boxes
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES

Box = tuple[float, float, float, float]
APART: list[Box] = [(40, 30, 110, 90), (200, 40, 260, 120), (300, 200, 380, 260), (5, 200, 70, 280)]
# One overlaps its neighbour, two share a side, one stands alone.
TOUCHING: list[Box] = [
    (40, 30, 110, 90),
    (90, 60, 170, 140),
    (200, 100, 260, 160),
    (260, 100, 330, 160),
    (210, 220, 300, 290),
]


@pytest.fixture(scope="module")
def smear() -> np.ndarray:
    options = SmearOptions(
        slides=1, fields_per_slide=1, width_px=400, height_px=300, cells_per_field={"normal_rbc": 40}
    )
    return simulate_field(options, 5, 0, 0).rgb


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """The picture after it was saved as JPEG, as both copies of the public set are."""
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def found_of(boxes: list[Box], found: list[Box], least: float = 0.9) -> int:
    """How many drawn boxes were found."""
    if not found:
        return 0
    table = iou(np.array(boxes, float), np.array(found, float))
    return sum(table[k].max() >= least for k in range(len(boxes)))


@pytest.mark.parametrize("boxes", [APART, TOUCHING], ids=["apart", "touching"])
@pytest.mark.parametrize("width", [1, 2, 3, 6])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (255, 255, 0), (0, 0, 0)])
def test_rectangles_of_any_line_and_colour(
    smear: np.ndarray, boxes: list[Box], width: int, colour: tuple[int, int, int]
) -> None:
    marked = smear.copy()
    for box in boxes:
        x0, y0, x1, y1 = (int(v) for v in box)
        cv2.rectangle(marked, (x0, y0), (x1, y1), colour, width)
    marks = drawn_boxes(jpeg(marked, 92), jpeg(smear, 92))
    assert len(marks.boxes) == len(boxes)
    assert found_of(boxes, marks.boxes) == len(boxes)


def test_ellipses_and_strokes_that_enclose_nothing(smear: np.ndarray) -> None:
    marked = smear.copy()
    cv2.ellipse(marked, (100, 100), (40, 25), 20, 0, 360, (0, 0, 255), 2)
    cv2.rectangle(marked, (200, 40), (260, 120), (255, 0, 0), 2)
    cv2.arrowedLine(marked, (300, 250), (370, 200), (255, 0, 0), 2)
    cv2.putText(marked, "sickle", (200, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 0, 0), 1)
    marks = drawn_boxes(jpeg(marked, 90), jpeg(smear, 90))
    turn = np.radians(20)
    wide = float(np.hypot(40 * np.cos(turn), 25 * np.sin(turn)))
    high = float(np.hypot(40 * np.sin(turn), 25 * np.cos(turn)))
    assert found_of([(200, 40, 260, 120)], marks.boxes) == 1
    assert found_of([(100 - wide, 100 - high, 100 + wide, 100 + high)], marks.boxes, 0.85) == 1
    assert len(marks.boxes) == 2
    assert marks.open_marks >= 1


def test_an_image_that_is_another_one_is_refused(smear: np.ndarray) -> None:
    with pytest.raises(BadInputError, match="do not show the same picture"):
        drawn_boxes(255 - smear, smear)
    with pytest.raises(BadInputError, match="the image is not"):
        drawn_boxes(smear[:200], smear)
    assert drawn_boxes(jpeg(smear, 75), smear).boxes == []  # compression alone is no mark


def test_source_with_every_fault(smear: np.ndarray, tmp_path: Path) -> None:
    """Names that differ in a word, a copy of another size, copies and images without their other half."""
    plain, copies = tmp_path / "Positive/Unlabelled", tmp_path / "Positive/Labelled"
    plain.mkdir(parents=True)
    copies.mkdir()
    marked = smear.copy()
    for box in APART:
        x0, y0, x1, y1 = (int(v) for v in box)
        cv2.rectangle(marked, (x0, y0), (x1, y1), (255, 255, 0), 3)
    half = cv2.resize(marked, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    pictures = {
        plain / "1.jpg": smear,
        copies / "1 labelled.JPG": marked,
        plain / "2.jpg": smear,
        copies / "2.jpg": half,
        plain / "3.jpg": smear,
        copies / "4.jpg": marked,
        plain / "5.jpg": smear,
        copies / "5.jpg": smear,
        plain / "6.jpg": smear,
        copies / "6.jpg": 255 - smear,
    }
    for path, picture in pictures.items():
        cv2.imwrite(str(path), picture[..., ::-1])
    tables = ingest(SOURCES["sickle"], tmp_path, strict=False)
    assert tables.index["image_id"].tolist() == ["sickle/Positive/Unlabelled/1", "sickle/Positive/Unlabelled/2"]
    # A copy of half the size has lines of a pixel and a half: found to a pixel or two.
    for (_, rows), least in zip(tables.annotations.groupby("image_id"), (0.9, 0.8), strict=True):
        found = rows[["x_min_px", "y_min_px", "x_max_px", "y_max_px"]].to_numpy(float).tolist()
        assert found_of(APART, found, least) == len(APART) == len(rows)
    assert set(tables.annotations["label"]) == {"sickle_cell"}
    reasons = dict(zip(tables.rejects["path"], tables.rejects["reason"], strict=True))
    assert reasons["Positive/Unlabelled/3.jpg"] == "image without marked copy"
    assert reasons["Positive/Labelled/4.jpg"] == "marked copy without its image"
    assert reasons["Positive/Unlabelled/5.jpg"] == "no closed mark in its marked copy"
    assert "do not show the same picture" in reasons["Positive/Unlabelled/6.jpg"]
    (tmp_path / "nothing/x").mkdir(parents=True)
    with pytest.raises(SourceNotFoundError, match="holds no image"):
        ingest(SOURCES["sickle"], tmp_path / "nothing", strict=False)
