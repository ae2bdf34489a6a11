"""Intervals over groups: against scipy, against pycocotools, and against a truth that is known."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from scipy import stats

from blood_kedro.library.evaluation import coco_metrics
from blood_kedro.library.evaluation.accumulate import METRICS, class_values, matched
from blood_kedro.library.evaluation.classification import RunAnswers, classification_measures, group_intervals
from blood_kedro.library.evaluation.coco_metrics import detection_metrics
from blood_kedro.library.evaluation.resampling import (
    Floats,
    excludes_zero,
    interval,
    intervals,
    mean_error_intervals,
    numbered,
    resampled,
    sums_by_group,
    with_limits,
)
from blood_kedro.library.evaluation.significance import corrected_test, two_sample_test
from blood_kedro.library.evaluation.views import with_ignores, with_judged


def mean_of(sums: Floats) -> Any:
    return lambda weights: (weights @ sums)[:, :1] / (weights @ sums)[:, 1:]


def test_limits_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    sums = np.stack([values, np.ones(40)], axis=1)
    made = intervals(mean_of(sums), ("m",), 40, unit="u", resamples=20000, seed=0, within={"m": (0, 99)})
    known = stats.bootstrap((values,), np.mean, n_resamples=20000, rng=1, method="BCa").confidence_interval
    assert made.limits["m"] == pytest.approx([known.low, known.high], abs=0.03)
    assert made.basis["method"] == {"m": "bca"}
    again = intervals(mean_of(sums), ("m",), 40, unit="u", resamples=20000, seed=0, within={"m": (0, 99)})
    assert again.limits == made.limits


def test_what_an_interval_rests_on_is_said() -> None:
    sums = np.array([[1.0, 1], [1, 1], [1, 1]])
    same = intervals(mean_of(sums), ("m",), 3, unit="slides", resamples=100, seed=0)
    assert same.limits["m"] == [1.0, 1.0]
    assert same.basis == {"unit": "slides", "groups": 3, "few_groups": True, "draws": 100, "method": {"m": "basic"}}
    one = intervals(mean_of(sums[:1]), ("m",), 1, unit="slides", resamples=100, seed=0)
    assert (one.limits["m"], one.basis["method"]) == ([None, None], {"m": "none"})
    # All draws above the value: basic limits lie below it, where the truth is.
    draws = np.linspace(0.6, 0.8, 101)
    assert interval(0.5, draws, np.zeros(0)) == ([pytest.approx(0.205), pytest.approx(0.395)], "basic")
    assert interval(0.5, np.full(9, np.nan), np.zeros(0)) == ([None, None], "none")
    assert [excludes_zero(x) for x in ([-1, 1], [0.1, 1], [-2, -1], [None, None])] == [False, True, True, False]


def test_a_figure_without_an_interval_says_so() -> None:
    assert with_limits(0.1234, [0.1, 0.15]) == "0.123 [0.100, 0.150]"
    assert with_limits(0.1234, [0.1, 0.15], signed=True, spread=" ± 0.010") == "+0.123 ± 0.010 [+0.100, +0.150]"
    assert with_limits(1.0, [None, None]) == "1.000 [–, –]"
    assert with_limits(None, [None, None]) == "–"


def test_cells_of_a_group_come_and_go_together() -> None:
    error = np.repeat([-2.0, 2.0] * 10, 50)  # twenty images, each wrong by the same in all its fifty parts
    together = mean_error_intervals(error, np.repeat(np.arange(20), 50), 500, 0).limits["bias"]
    alone = mean_error_intervals(error, np.arange(1000), 500, 0).limits["bias"]
    assert together[1] > 0.6
    assert alone[1] < 0.2


@pytest.mark.slow
def test_intervals_over_groups_cover_what_plain_percentiles_and_cells_alone_miss() -> None:
    """150 samples of 40 slides of 10 cells; a mean of ten squares, which noise makes larger, as it does AP."""
    rng = np.random.default_rng(7)
    mean, covered = 0.3, {"groups": 0, "percentiles": 0, "cells": 0}

    def statistic(values: Floats) -> Any:
        return lambda weights: ((weights @ values / len(values)) ** 2).mean(axis=1, keepdims=True)

    truth = mean**2
    for k in range(150):
        slides = mean + rng.normal(size=(40, 10))
        cells = np.repeat(slides, 10, axis=0) + rng.normal(0, 0.1, (400, 10))
        made = resampled(statistic(cells.reshape(40, 10, 10).mean(axis=1)), 40, 1000, k)
        low, high = interval(made.point[0], made.draws[:, 0], made.jackknife[:, 0])[0]
        covered["groups"] += low <= truth <= high
        low, high = np.quantile(made.draws, [0.025, 0.975])
        covered["percentiles"] += low <= truth <= high
        alone = resampled(statistic(cells), 400, 300, k)
        low, high = interval(alone.point[0], alone.draws[:, 0], alone.jackknife[:, 0])[0]
        covered["cells"] += low <= truth <= high
    assert covered["groups"] >= 135, covered  # 90%
    assert covered["percentiles"] <= 115, covered
    assert covered["cells"] <= 75, covered


def field(seed: int, images: int, classes: int, cells: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and noisy detections; scores differ, two images share a group, and class k is the rarer, the larger k."""
    rng = np.random.default_rng(seed)
    names = (
        ["rbc", "wbc", "platelet"][:classes]
        if classes <= 3
        else [
            "lymphocyte",
            "neutrophil",
            "eosinophil",
            "erythroblast",
            "monocyte",
            "platelet",
            "normal_rbc",
            "target_cell",
            "spherocyte",
            "macrocyte",
            "elliptocyte",
            "sickle_cell",
            "schistocyte",
            "teardrop",
            "burr_cell",
            "ovalocyte",
            "basophil",
            "microcyte",
            "hypochromia",
            "stomatocyte",
            "uncategorized",
            "promyelocyte",
            "myelocyte",
            "metamyelocyte",
        ][:classes]
    )
    odds = 1 / np.arange(1, len(names) + 1) ** 2
    truth, found = [], []
    for image in range(1, images + 1):
        corners = rng.permutation(100)[:cells]
        for corner in corners:
            k = int(rng.choice(len(names), p=odds / odds.sum())) + 1
            box = [50.0 * (corner % 10), 50.0 * (corner // 10), 40.0, 40.0]
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": k,
                    "bbox": box,
                    "area": 1600.0,
                    "iscrowd": int(rng.random() < 0.05),
                    "label": names[k - 1],
                }
            )
            said = k if rng.random() < 0.7 else int(rng.integers(1, len(names) + 1))
            moved = [box[0] + rng.normal(0, 4), box[1] + rng.normal(0, 4), 40.0, 40.0]
            if rng.random() < 0.9:
                found.append({"image_id": image, "category_id": said, "bbox": moved, "score": rng.random()})
    return {
        "images": [{"id": n, "group": f"g{n // 2}"} for n in range(1, images + 1)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        "annotations": truth,
    }, found


def test_accumulation_under_weights_is_that_of_pycocotools() -> None:
    truth, results = field(3, 12, 3, 12)
    evaluation = coco_metrics._evaluate(with_ignores(truth), with_judged(truth, results))
    alone = np.arange(12)
    found = matched(evaluation, alone, 12)
    draw = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 20)
    values = class_values(found, np.concatenate([np.ones((1, 12)), draw]).astype(float))
    table = np.array(evaluation.evalImgs, object).reshape(-1, 12)
    for row, weights in enumerate([np.ones(12, int), *draw]):
        again = copy.copy(evaluation)
        again.evalImgs = table[:, np.repeat(alone, weights)].ravel().tolist()
        with contextlib.redirect_stdout(io.StringIO()):
            COCOeval.accumulate(again)
        precision, recall = again.eval["precision"][..., 0, -1], again.eval["recall"][:, :, 0, -1]
        known = {
            "map": precision.mean(axis=(0, 1)),
            "map_50": precision[0].mean(axis=0),
            "map_75": precision[5].mean(axis=0),
            "mar_100": recall.mean(axis=0),
        }
        for name in METRICS:
            np.testing.assert_allclose(np.nan_to_num(values[name][row], nan=-1), known[name], atol=1e-12)


def test_ap_of_a_group_is_drawn_whole_and_its_numbers_are_kept() -> None:
    truth, results = field(5, 10, 3, 12)
    got = detection_metrics(truth, results, resamples=200, seed=0)
    assert got["groups"] == got["interval_basis"]["groups"] == 6
    assert got["interval_basis"]["few_groups"]
    assert len(got["bootstrap"]["map"]) == 200
    assert len(got["jackknife"]["map"]) == 6
    low, high = got["interval_95"]["map"]
    assert low < got["map"] < high
    single = {**truth, "images": [{**image, "group": "one"} for image in truth["images"]]}
    assert detection_metrics(single, results, resamples=20, seed=0)["interval_95"]["map"] == [None, None]


@pytest.mark.slow
def test_fine_map_of_rare_classes_is_biased_in_draws_and_limits_know_it() -> None:
    """280 images of 24 classes, many of them rare: 2,000 draws take seconds, and their mean is not the value."""
    truth, results = field(11, 280, 24, 25)
    got = detection_metrics(truth, results, resamples=2000, seed=0)
    draws = np.array(got["bootstrap"]["map"])
    bias = (draws.mean() - got["map"]) / draws.std()
    low, high = np.quantile(draws, [0.025, 0.975])
    assert bias > 0.3
    assert got["interval_95"]["map"][0] < low  # moved against the bias
    assert got["interval_95"]["map"][1] < high


def answers(truth: list[int], found: list[int], groups: list[str]) -> RunAnswers:
    return RunAnswers(np.array(truth), np.array(found), np.array(groups, object))


def test_macro_f1_keeps_its_classes_in_every_draw() -> None:
    # Forty slides of a class that is always right, two of one that is never.
    truth, found = [0] * 40 + [1] * 2, [0] * 42
    groups = [f"s{k}" for k in range(42)]
    run = answers(truth, found, groups)
    point = classification_measures(run.truth, np.eye(2)[run.found], ["a", "b"])["f1"]
    made = group_intervals([run], 2, unit="slides", resamples=500, seed=0)
    assert point == pytest.approx(np.mean([80 / 82, 0]))
    assert made.limits["f1"][1] < 0.51  # without the class that a draw misses it would be 1


def test_interval_is_of_the_mean_over_scanners_and_not_of_their_pool() -> None:
    # A large scanner that is always right and a small one that never is: mean 0.5, pool 0.9.
    large = answers([0] * 90, [0] * 90, [f"l{k // 9}" for k in range(90)])
    small = answers([0] * 10, [1] * 10, [f"s{k}" for k in range(10)])
    made = group_intervals([large, small], 2, unit="slides", resamples=300, seed=0)
    assert made.limits["accuracy"] == [0.5, 0.5]


def test_absent_and_never_claimed_classes_are_treated_alike_by_all_measures() -> None:
    truth = np.array([0, 0, 1, 1])
    got = classification_measures(truth, np.eye(4)[[0, 2, 0, 0]], ["a", "never_claimed", "absent", "absent_too"])
    per_class = got["per_class"]
    assert all(np.isnan(per_class[name][key]) for name in ("absent", "absent_too") for key in ("ppv", "f1", "npv"))
    assert per_class["never_claimed"]["ppv"] == 0
    assert got["ppv"] == pytest.approx((1 / 3 + 0) / 2)
    assert got["f1"] == pytest.approx((2 / 5 + 0) / 2)
    assert got["sensitivity"] == pytest.approx((1 / 2 + 0) / 2)
    assert got["specificity"] == pytest.approx((0 + 1) / 2)


def test_tests_over_runs_by_hand_and_why_there_is_none() -> None:
    first = {f"{k}": v for k, v in enumerate([0.91, 0.92, 0.93, 0.92, 0.94])}
    second = {f"{k}": v for k, v in enumerate([0.90, 0.90, 0.92, 0.91, 0.91])}
    plain = two_sample_test(first, second)
    assert plain.p == pytest.approx(stats.ttest_ind(list(first.values()), list(second.values())).pvalue)
    d = np.array([0.01, 0.02, 0.01, 0.01, 0.03])
    t = d.mean() / np.sqrt((1 / 5 + 0.5) * d.var(ddof=1))
    assert corrected_test(first, second, 0.5).p == pytest.approx(2 * stats.t.sf(t, 4))
    few = two_sample_test({"1": 0.9, "2": 0.8}, second)
    assert (few.p, few.runs, few.reason) == (None, (2, 5), "2 runs, fewer than 5")
    assert corrected_test({"1": 0.9}, second, 0.5).reason == "1 runs, fewer than 5"
    assert two_sample_test(first, second, "other cells").reason == "other cells"
    same = dict.fromkeys("12345", 0.5)
    assert two_sample_test(same, same).reason == corrected_test(same, same, 1.0).reason != ""


def test_sums_of_groups() -> None:
    numbers, count = numbered(np.array(["b", "a", "b"], object))
    assert sums_by_group([[1.0, 2, 3]], numbers, count).tolist() == [[2.0], [4.0]]
