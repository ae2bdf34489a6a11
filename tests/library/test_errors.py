"""Kinds of error, confusion and counts on cases whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest

from blood_kedro.library.evaluation.errors import OUTCOMES, error_analysis


def truth(cells: list[tuple[str, list[float]]], ignored: list[list[float]] = (), images: int = 1) -> dict[str, Any]:  # type: ignore[assignment]
    ids = {"normal_rbc": 1, "teardrop": 2, "lymphocyte": 3}
    rows = [{"image_id": 1, "category_id": ids[n], "bbox": b, "iscrowd": 0, "label": n} for n, b in cells]
    rows += [{"image_id": 1, "category_id": 1, "bbox": b, "iscrowd": 1, "label": "rbc"} for b in ignored]
    return {
        "images": [{"id": n} for n in range(1, images + 1)],
        "annotations": rows,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


def found(*rows: tuple[int, list[float], float]) -> list[dict[str, Any]]:
    return [{"image_id": 1, "category_id": c, "bbox": box, "score": s} for c, box, s in rows]


def analyse(coco: dict[str, Any], results: list[dict[str, Any]], resamples: int = 0) -> dict[str, Any]:
    return error_analysis(coco, results, score=0.5, resamples=resamples, seed=0)


A, B = [0.0, 0, 20, 20], [22.0, 0, 20, 20]


@pytest.mark.parametrize(
    ("detections", "kind", "missed"),
    [
        ([(1, A, 0.9)], "correct", 1),
        ([(2, A, 0.9)], "wrong_class", 2),
        ([(1, [-1.0, 0, 44, 20], 0.9)], "merged", 2),  # two touching cells in one box
        ([(1, [14.0, 0, 20, 20], 0.9)], "poor_box", 2),
        ([(1, [100.0, 100, 20, 20], 0.9)], "ignored", 2),
        ([(1, [200.0, 200, 20, 20], 0.9)], "false_alarm", 2),
    ],
)
def test_each_kind_of_error(detections: list[Any], kind: str, missed: int) -> None:
    analysis = analyse(truth([("normal_rbc", A), ("normal_rbc", B)], [[95.0, 95, 30, 30]]), found(*detections))
    assert {k: n for k, n in analysis["errors"].items() if n} == {kind: 1, **({"missed": missed})}
    assert analysis["objects"] == 2


def test_second_detection_of_a_cell_is_a_duplicate_and_weak_ones_do_not_count() -> None:
    analysis = analyse(truth([("normal_rbc", A)]), found((1, A, 0.6), (1, [1.0, 0, 20, 20], 0.9), (2, A, 0.4)))
    assert {k: n for k, n in analysis["errors"].items() if n} == {"correct": 1, "duplicate": 1}


def test_confusion_has_a_row_and_a_column_for_background() -> None:
    coco = truth([("normal_rbc", A), ("teardrop", B), ("lymphocyte", [60.0, 0, 20, 20])], [[95.0, 95, 30, 30]])
    results = found((1, A, 0.9), (1, B, 0.8), (3, [200.0, 0, 9, 9], 0.7), (1, [100.0, 100, 20, 20], 0.9))
    confusion = analyse(coco, results)["confusion"]
    assert confusion["classes"] == ["normal_rbc", "teardrop", "lymphocyte", "background"]
    assert confusion["matrix"] == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


def test_counts_per_image() -> None:
    coco = truth(
        [("normal_rbc", A), ("teardrop", B), ("lymphocyte", [60.0, 0, 20, 20])], [[95.0, 95, 30, 30]], images=2
    )
    counting = analyse(coco, found((1, A, 0.9)), resamples=50)["counting"]
    assert counting["rbc"]["cells_per_image"] == 1.5  # two labelled and one that is not, in two images
    assert counting["rbc"]["mean_absolute_error"] == 1.0
    assert counting["rbc"]["bias"] == -1.0
    assert (counting["wbc"]["images"], counting["wbc"]["cells_per_image"]) == (2, 0.5)
    assert (counting["wbc"]["mean_absolute_error"], counting["wbc"]["bias"]) == (0.5, -0.5)
    low, high = counting["rbc"]["bias_interval_95"]
    assert low == -2.0 and high == 0.0


def test_nothing_there_and_nothing_found() -> None:
    nothing = analyse(truth([]), [])
    assert nothing["errors"] == dict.fromkeys((*OUTCOMES, "missed"), 0)
    assert nothing["counting"]["platelet"]["mean_absolute_error"] == 0
    no_images = analyse({**truth([]), "images": []}, [], resamples=10)
    assert no_images["counting"]["rbc"]["mean_absolute_error"] is None


def test_what_the_labels_of_a_source_cannot_tell_is_ignored() -> None:
    far = [200.0, 200, 20, 20]
    coco = truth([("lymphocyte", A)])
    coco["images"] = [{"id": 1, "source": "pbc"}]
    analysis = analyse(coco, found((3, A, 0.9), (1, far, 0.8), (2, B, 0.7)), resamples=10)
    assert {k: n for k, n in analysis["errors"].items() if n} == {"correct": 1, "ignored": 2}
    assert sum(map(sum, analysis["confusion"]["matrix"])) == 1
    assert analysis["counting"]["rbc"]["mean_absolute_error"] is None  # nobody counted them
    assert (analysis["counting"]["wbc"]["images"], analysis["counting"]["wbc"]["bias"]) == (1, 0)
    coarse = truth([("normal_rbc", A)])
    coarse["categories"][0]["name"] = coarse["annotations"][0]["label"] = "rbc"
    analysis = analyse(coarse, found((2, A, 0.9)))
    assert {k: n for k, n in analysis["errors"].items() if n} == {"ignored": 1}


def test_a_cell_with_two_fine_names_counts_once() -> None:
    counting = analyse(truth([("normal_rbc", A)]), found((1, A, 0.9), (2, A, 0.8)))["counting"]
    assert counting["rbc"]["bias"] == 0


def test_counts_of_images_of_one_field_are_drawn_together() -> None:
    coco = truth([("normal_rbc", A)], images=4)
    coco["images"] = [{"id": n, "group": "one"} for n in range(1, 5)]
    counting = analyse(coco, [], resamples=20)["counting"]["rbc"]
    assert counting["interval_basis"]["groups"] == 1
    assert counting["bias_interval_95"] == [None, None]
