"""Figures of detections: the crowded part of each picture, at the scale of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blood_kedro.library.detection.figures import curves_figure, failures_figure, predictions_figure

WIDTH = 20


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Any]:
    """Two pictures of 400 px: five cells in the lower right corner, one alone at the left."""
    places = [(300, 300), (330, 300), (300, 330), (330, 330), (360, 360), (40, 200)]
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(tmp_path / name)
    return {
        "images": [
            {"id": k, "file_name": f"{name}.png", "source": "s", "image_id": f"s/{name}"} for k, name in enumerate("ab")
        ],
        "categories": [{"id": 1, "name": "rbc"}],
        "annotations": [
            {"image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [x, y, WIDTH, WIDTH]}
            for image in (0, 1)
            for x, y in places
        ],
    }


def test_every_picture_is_shown_once_where_its_cells_crowd(corpus: dict[str, Any], tmp_path: Path) -> None:
    first, second = predictions_figure(corpus, [], tmp_path).axes
    assert [axis.get_title() for axis in (first, second)] == ["s: a", "s: b"]
    left, right = first.get_xlim()
    bottom, top = first.get_ylim()
    assert right - left == pytest.approx(bottom - top) == pytest.approx(7 * WIDTH)
    assert left < 300 and right >= 360 + WIDTH - 0.5  # all five, and not the one at the left


def test_a_picture_without_cells_is_shown_whole(corpus: dict[str, Any], tmp_path: Path) -> None:
    first, _ = predictions_figure({**corpus, "annotations": []}, [], tmp_path).axes
    assert first.get_xlim() == (-0.5, 399.5)


def test_a_failure_stands_in_the_middle_of_its_window(corpus: dict[str, Any], tmp_path: Path) -> None:
    seen = [
        {"image_id": row["image_id"], "category_id": 1, "bbox": row["bbox"], "score": 0.9}
        for row in corpus["annotations"]
        if row["bbox"][0] != 330
    ]
    axes = failures_figure(corpus, seen, tmp_path).axes
    assert [axis.get_title() for axis in axes] == ["missed: rbc", "missed: rbc"]
    left, right = axes[0].get_xlim()
    assert (left + right) / 2 == pytest.approx(330 + WIDTH / 2, abs=1)
    assert right - left == pytest.approx(5 * WIDTH)


def test_without_failures_the_figure_says_so(corpus: dict[str, Any], tmp_path: Path) -> None:
    seen = [
        {"image_id": row["image_id"], "category_id": 1, "bbox": row["bbox"], "score": 0.9}
        for row in corpus["annotations"]
    ]
    (axis,) = failures_figure(corpus, seen, tmp_path).axes
    assert "no cell was missed" in axis.texts[0].get_text()


def test_classes_of_few_cells_have_no_curve_and_are_named() -> None:
    def view(**counts: int) -> dict[str, Any]:
        return {
            "precision_recall": {name: [1.0] * 101 for name in counts},
            "objects_per_class": counts,
            "ap_50_per_class": dict.fromkeys(counts, 0.5),
        }

    figure = curves_figure({**view(teardrop=29, ovalocyte=30), "coarse": view(rbc=59)})
    shown = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert shown == ["all rbc\nAP50 0.500, n = 59", "ovalocyte\nAP50 0.500, n = 30"]
    assert "fewer than 30 cells: teardrop" in figure.get_supxlabel()
