"""Detection metrics on hand-made cases."""

from __future__ import annotations

from typing import Any

import pytest

from blood_kedro.library.evaluation.coco_metrics import (
    average_precision,
    detection_metrics,
    metrics_by_source,
    metrics_otherwise,
)
from blood_kedro.library.evaluation.resampling import paired_difference

CLASSES = ("rbc", "teardrop", "basophil", "platelet")


def truth(*cells: tuple[int, str, list[float], bool]) -> dict[str, Any]:
    ids = {name: number for number, name in enumerate(CLASSES, start=1)}
    return {
        "images": [{"id": n} for n in sorted({cell[0] for cell in cells})],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": k,
                "image_id": image,
                "category_id": ids[label],
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(ignore),
                "label": label,
            }
            for k, (image, label, box, ignore) in enumerate(cells, start=1)
        ],
    }


def found(image: int, label: str, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": CLASSES.index(label) + 1, "bbox": box, "score": score}


A, B, C = [10.0, 10, 40, 40], [100.0, 100, 40, 40], [200.0, 200, 40, 40]


def metrics(gt: dict[str, Any], results: list[dict[str, Any]], resamples: int = 0) -> dict[str, Any]:
    return detection_metrics(gt, results, resamples=resamples, seed=0)


def test_perfect_detector() -> None:
    got = metrics(truth((1, "rbc", A, False)), [found(1, "rbc", A, 0.9)])
    assert got["map"] == pytest.approx(1)
    assert got["mar_100"] == pytest.approx(1)
    assert got["ap_50_per_class"] == {"rbc": pytest.approx(1), "teardrop": None, "basophil": None, "platelet": None}
    assert got["map_large"] is None  # 40x40 is of medium size
    assert got["map_medium"] == pytest.approx(1)


def test_half_of_the_cells_found_is_ap_of_about_a_half() -> None:
    gt = truth((1, "rbc", A, False), (1, "rbc", B, False))
    # recall 0.5 at precision 1: 51 of 101 recall points
    assert metrics(gt, [found(1, "rbc", A, 0.9)])["map_50"] == pytest.approx(51 / 101)


def test_loose_box_counts_at_50_and_not_at_75() -> None:
    got = metrics(truth((1, "rbc", A, False)), [found(1, "rbc", [10, 10, 40, 60], 0.9)])  # IoU 2/3
    assert got["map_50"] == pytest.approx(1)
    assert got["map_75"] == pytest.approx(0)
    assert got["map"] == pytest.approx(0.4)  # thresholds .50 .55 .60 .65 of ten


def test_nothing_found_is_zero_and_not_undefined() -> None:
    assert metrics(truth((1, "rbc", A, False)), [])["map"] == 0


def test_detection_on_an_unlabelled_cell_is_not_punished_whatever_red_class_it_has() -> None:
    cells = ((1, "rbc", A, False), (1, "teardrop", B, False))
    results = [
        found(1, "rbc", A, 0.5),
        found(1, "teardrop", B, 0.5),
        found(1, "rbc", C, 0.9),
        found(1, "teardrop", C, 0.9),
    ]
    punished = metrics(truth(*cells), results)
    assert punished["map_50"] == pytest.approx(0.5)
    spared = metrics(truth(*cells, (1, "rbc", C, True)), results)
    assert spared["map_50"] == pytest.approx(1)
    assert spared["map_50_coarse"] == pytest.approx(1)
    assert spared["objects"] == 2
    assert spared["ignore_regions"] == 1


def test_white_cell_claimed_on_an_unlabelled_red_one_is_punished() -> None:
    gt = truth((1, "basophil", A, False), (1, "rbc", C, True))
    results = [found(1, "basophil", A, 0.5), found(1, "basophil", C, 0.9)]
    assert metrics(gt, results)["map_50"] == pytest.approx(0.5)


def test_coarse_view_forgives_the_wrong_shape() -> None:
    got = metrics(truth((1, "teardrop", A, False)), [found(1, "rbc", A, 0.9)])
    assert got["map_50"] == 0
    assert got["ap_50_per_class_coarse"] == {"rbc": pytest.approx(1), "wbc": None, "platelet": None}


def test_interval_holds_the_value_and_is_seeded() -> None:
    cells = [(n, "rbc", A, False) for n in range(1, 41)]
    results = [found(n, "rbc", A, 0.9) for n in range(1, 41, 2)]
    got = metrics(truth(*cells), results, resamples=50)
    low, high = got["interval_95"]["map_50"]
    assert 0.3 < low < got["map_50"] < high < 0.75
    assert metrics(truth(*cells), results, resamples=50)["interval_95"] == got["interval_95"]


def test_difference_of_two_detectors_is_paired_over_images() -> None:
    cells = [(1, "rbc", A, False), (1, "rbc", B, False), *((n, "rbc", A, False) for n in range(2, 9))]
    gt = truth(*cells)
    good = [found(image, label, box, 0.9) for image, label, box, _ in cells]
    worse = [result for result in good if result["image_id"] != 1]  # misses one image and is equal on all others
    a, b = metrics(gt, worse, resamples=100), metrics(gt, good, resamples=100)
    pair = paired_difference(a, b, "map_50")
    assert pair is not None
    difference, (low, high) = pair
    assert difference == pytest.approx(b["map_50"] - a["map_50"])
    assert low is not None and high is not None
    assert low <= 0 < difference < high  # it hangs on one image
    assert paired_difference(metrics(gt, worse), b, "map_50") is None


def test_precision_over_recall_is_the_curve_behind_ap() -> None:
    gt = truth((1, "rbc", A, False), (1, "rbc", B, False))
    got = metrics(gt, [found(1, "rbc", A, 0.9), found(1, "rbc", C, 0.8), found(1, "rbc", B, 0.7)])
    curve = got["precision_recall"]["rbc"]
    assert len(curve) == 101
    assert curve[:51] == [1.0] * 51  # up to recall 0.5 every detection is right
    assert curve[51:] == [pytest.approx(2 / 3, abs=1e-3)] * 50
    assert sum(curve) / 101 == pytest.approx(got["map_50"], abs=1e-3)
    assert set(got["precision_recall"]) == {"rbc"}  # no curve for a class without a cell


def test_each_source_is_scored_on_its_own_images() -> None:
    gt = truth((1, "rbc", A, False), (2, "teardrop", B, False))
    gt["images"] = [{"id": 1, "source": "bccd"}, {"id": 2, "source": "chula"}, {"id": 3, "source": "pbc"}]
    by_source = metrics_by_source(gt, [found(1, "rbc", A, 0.9), found(2, "rbc", B, 0.9)], resamples=5, seed=0)
    assert by_source["bccd"]["map_50"] == pytest.approx(1)
    assert by_source["chula"]["map_50"] == pytest.approx(0)  # the wrong shape ...
    assert by_source["chula"]["coarse"]["map_50"] == pytest.approx(1)  # ... of the right kind
    assert by_source["chula"]["coarse"]["interval_95"]["map_50"] == [None, None]  # of one image
    assert [by_source[s]["images"] for s in ("bccd", "chula", "pbc")] == [1, 1, 1]
    assert by_source["pbc"]["map_50"] is None  # nothing to find there, nothing to say
    assert by_source["pbc"]["interval_95"]["map_50"] == [None, None]


def test_quick_ap50_is_the_same_and_looks_at_its_images_only() -> None:
    gt = truth((1, "rbc", A, False), (1, "rbc", B, False), (2, "rbc", C, False))
    results = [found(1, "rbc", A, 0.9)]
    assert average_precision(gt, results) == pytest.approx(metrics(gt, results)["map_50"])
    assert average_precision({**gt, "images": [{"id": 1}]}, results) == pytest.approx(51 / 101)
    assert average_precision({**gt, "images": []}, []) is None


def test_views_of_the_same_field_and_missing_labels_are_told_apart() -> None:
    gt = truth((1, "rbc", A, False), (2, "rbc", B, False), (2, "rbc", C, True))
    gt["images"] = [{"id": 1, "group": "one"}, {"id": 2, "group": "two"}]
    results = [found(1, "rbc", A, 0.9), found(2, "rbc", B, 0.8), found(2, "rbc", C, 0.95)]
    otherwise = metrics_otherwise(gt, results, [{"id": 7, "group": "one"}], resamples=5, seed=0)
    assert otherwise["unexposed"]["images"] == 1
    assert otherwise["unexposed"]["map_50"] == pytest.approx(1)
    # best score first: a false alarm, then two right ones
    assert otherwise["as_labelled"]["map_50"] == pytest.approx(2 / 3, abs=0.01)
    assert metrics(gt, results)["map_50"] == pytest.approx(1)
    plain = truth((1, "rbc", A, False))
    assert metrics_otherwise(plain, [], [], resamples=0, seed=0) == {}


def on(gt: dict[str, Any], source: str) -> dict[str, Any]:
    return {**gt, "images": [{**image, "source": source} for image in gt["images"]]}


def test_a_class_that_a_source_never_labels_is_not_judged_there() -> None:
    gt = truth((1, "basophil", A, False), (2, "basophil", A, False), (2, "platelet", B, False))
    results = [
        found(1, "basophil", A, 0.8),
        found(2, "basophil", A, 0.8),
        found(2, "platelet", B, 0.5),
        found(1, "platelet", C, 0.9),
    ]
    pbc = metrics(on(gt, "pbc"), results)
    assert pbc["map_50"] == pbc["map_50_coarse"] == pytest.approx(1)
    assert pbc["unjudged_detections"] == 2
    assert average_precision(on(gt, "pbc"), results) == pytest.approx(1)
    # BCCD labels its platelets: there it is a false alarm, as it is for whoever reads the labels as complete.
    assert metrics(on(gt, "bccd"), results)["ap_50_per_class"]["platelet"] == pytest.approx(0.5)
    plain = metrics_otherwise(on(gt, "pbc"), results, [], resamples=0, seed=0)["as_labelled"]
    assert plain["ap_50_per_class"]["platelet"] == pytest.approx(0.5)
    own = {**on(gt, "a_lab"), "labelled_by": {"a_lab": ["wbc"]}}
    assert metrics(own, results)["map_50"] == pytest.approx(1)
    # A labelled class is judged as ever.
    assert metrics(on(gt, "pbc"), [*results, found(1, "basophil", C, 0.9)])["map_50"] < 1


def test_a_finer_name_for_a_coarsely_labelled_cell_is_neither_right_nor_wrong() -> None:
    gt = truth((1, "rbc", A, False), (2, "teardrop", A, False))
    results = [found(1, "rbc", A, 0.7), found(1, "teardrop", A, 0.9), found(2, "teardrop", A, 0.8)]
    assert metrics(gt, results)["map_50"] == pytest.approx(1)
    elsewhere = [*results, found(1, "teardrop", C, 0.9)]  # nothing is there
    assert metrics(gt, elsewhere)["ap_50_per_class"]["teardrop"] == pytest.approx(0.5)


def test_coarse_view_counts_a_cell_with_two_fine_names_once() -> None:
    gt = truth((1, "teardrop", A, False), (2, "teardrop", A, False))
    results = [
        found(image, label, A, score)
        for image, label, score in ((1, "teardrop", 0.9), (1, "basophil", 0.85), (1, "rbc", 0.8), (2, "teardrop", 0.7))
    ]
    got = metrics(gt, results)
    assert got["ap_50_per_class"]["teardrop"] == pytest.approx(1)
    assert got["ap_50_per_class_coarse"]["rbc"] == pytest.approx(1)
    apart = metrics(gt, [*results, found(1, "rbc", B, 0.75)])  # another cell is not merged with it
    assert apart["ap_50_per_class_coarse"]["rbc"] == pytest.approx((51 + 50 * 2 / 3) / 101)
