"""COCO detection metrics by pycocotools, with what nobody labelled left out, and intervals over groups of images."""

from __future__ import annotations

import contextlib
import copy
import io
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from blood_kedro.library.evaluation.accumulate import METRICS, class_values, matched
from blood_kedro.library.evaluation.resampling import (
    IMAGES,
    SHARE,
    Floats,
    Resampled,
    basis,
    interval,
    numbered,
    resampled,
)
from blood_kedro.library.evaluation.views import coarse_view, with_ignores, with_judged

# Order of pycocotools' own summary.
_SUMMARY = {"map": 0, "map_50": 1, "map_75": 2, "map_small": 3, "map_medium": 4, "map_large": 5, "mar_100": 8}


def detection_metrics(
    truth: dict[str, Any], results: list[dict[str, Any]], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Metrics of one detector on one split.

    A detection on an ignore region (a visible cell that nobody labelled) is neither right nor wrong, for every class
    that the cell may have; nor is one that meets no label, of a class that the image's source does not label wherever
    it shows. The coarse view counts detections of one cell once, whatever they call it. AP is averaged over the classes
    that occur in the split; an undefined value is None.

    Args:
        truth: COCO json; ignore regions have `iscrowd: 1` and their coarse class in `label`; images may name their
            `source` and their `group` (images that show the same field; one without is a group of its own).
        results: COCO results.
        resamples: draws of groups for the 95% intervals; 0 leaves them out.
        seed: of the draws.

    Returns:
        `map, map_50, map_75, map_small, map_medium, map_large, mar_100`, `interval_95` (for AP, AP50, AP75 and AR100),
        `interval_basis` (what it rests on, see `resampling.Intervals`) and what is behind it, `bootstrap` and
        `jackknife` (the same groups in each draw for every detector), `ap_50_per_class`, its
        `ap_50_interval_95_per_class` (over the draws that hold the class; None where fewer than two groups do) and
        `groups_per_class`, `ap_per_class`, `objects_per_class`, `precision_recall` (of each class, precision at IoU 0.5
        and recall 0.00, 0.01 .. 1.00), all of these for the classes rbc, wbc and platelet under `coarse`, the two
        headlines of that as `map_50_coarse` and `ap_50_per_class_coarse`, and the sample sizes `images`, `groups`,
        `objects`, `ignore_regions`, `detections`, and `unjudged_detections` (of classes that the source does not
        label).
    """
    judged = with_judged(truth, results)
    fine = _measured(truth, judged, resamples, seed)
    coarse = _measured(*coarse_view(truth, judged), resamples, seed)
    objects = sum(not a["iscrowd"] for a in truth["annotations"])
    return {
        **fine,
        "coarse": coarse,
        "map_50_coarse": coarse["map_50"],
        "ap_50_per_class_coarse": coarse["ap_50_per_class"],
        "images": len(truth["images"]),
        "groups": fine["interval_basis"]["groups"],
        "objects": objects,
        "ignore_regions": len(truth["annotations"]) - objects,
        "detections": len(results),
        "unjudged_detections": sum(not r["judged"] for r in judged),
    }


def metrics_by_source(
    truth: dict[str, Any], results: list[dict[str, Any]], *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """`detection_metrics` on the images of each source alone; AP is averaged over the classes that occur there."""
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for image in truth["images"]:
        by_source[image["source"]].append(image)
    return {
        source: detection_metrics(*_only(truth, results, images), resamples=resamples, seed=seed)
        for source, images in sorted(by_source.items())
    }


def metrics_otherwise(
    truth: dict[str, Any], results: list[dict[str, Any]], known: list[dict[str, Any]], *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """`detection_metrics` as others would have them, where that makes a difference.

    Args:
        truth: COCO json; images name their `group` (images that show the same field).
        results: COCO results.
        known: images that were trained on or chosen by.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `unexposed`: only images of which no other view is known, if there are others (a source's own lists may
        leak); `as_labelled`: without ignore regions and as if every source labelled everything, so that a detection on
        a cell that nobody labelled is a false alarm, as in figures published on incomplete labels.
    """
    exposed = {image.get("group") for image in known} - {None}
    clean = [image for image in truth["images"] if image.get("group") not in exposed]
    metrics = {}
    if 0 < len(clean) < len(truth["images"]):
        metrics["unexposed"] = detection_metrics(*_only(truth, results, clean), resamples=resamples, seed=seed)
    labelled = [annotation for annotation in truth["annotations"] if not annotation["iscrowd"]]
    if len(labelled) < len(truth["annotations"]) or not all(r["judged"] for r in with_judged(truth, results)):
        anonymous = [{**image, "source": None} for image in truth["images"]]
        bare = {**truth, "images": anonymous, "annotations": labelled}
        metrics["as_labelled"] = detection_metrics(bare, results, resamples=resamples, seed=seed)
    return metrics


def _only(
    truth: dict[str, Any], results: list[dict[str, Any]], images: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and results of some images."""
    numbers = {image["id"] for image in images}
    annotations = [annotation for annotation in truth["annotations"] if annotation["image_id"] in numbers]
    mine = [result for result in results if result["image_id"] in numbers]
    return {**truth, "images": images, "annotations": annotations}, mine


def _measured(truth: dict[str, Any], results: list[dict[str, Any]], resamples: int, seed: int) -> dict[str, Any]:
    """The metrics of one view of the classes."""
    evaluation = _evaluate(with_ignores(truth), results)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    counts = Counter(a["category_id"] for a in truth["annotations"] if not a["iscrowd"])
    owners, groups = numbered([str(image.get("group") or image["id"]) for image in truth["images"]])
    group_of = {image["id"]: owners[k] for k, image in enumerate(truth["images"])}
    order = np.array([group_of[number] for number in evaluation.params.imgIds], np.int64)
    drawn, holding = _resampled(evaluation, order, groups, resamples, seed)
    by_metric = {name: _interval(drawn, k) for k, name in enumerate(METRICS)}
    by_class = {
        names[category]: _interval(drawn, len(METRICS) + k) if holding[k] > 1 else ([None, None], "none")
        for k, category in enumerate(evaluation.params.catIds)
    }
    return {
        **{name: _number(evaluation.stats[position]) for name, position in _SUMMARY.items()},
        "interval_95": {name: limits for name, (limits, _) in by_metric.items()},
        "interval_basis": basis(by_metric, groups, IMAGES, resamples),
        "bootstrap": _complete_columns(drawn.draws),
        "jackknife": _complete_columns(drawn.jackknife),
        "ap_per_class": _per_class(evaluation, names, None),
        "ap_50_per_class": _per_class(evaluation, names, 0),
        "ap_50_interval_95_per_class": {name: limits for name, (limits, _) in by_class.items()},
        "groups_per_class": {names[c]: int(holding[k]) for k, c in enumerate(evaluation.params.catIds)},
        "objects_per_class": {name: counts[number] for number, name in names.items()},
        "precision_recall": _curves(evaluation, names),
    }


def _resampled(
    evaluation: COCOeval, order: npt.NDArray[np.int64], groups: int, resamples: int, seed: int
) -> tuple[Resampled, npt.NDArray[np.int64]]:
    """Draws of the four means over classes, then of AP50 of each class; and how many groups hold each class.

    Every draw averages over the same classes. One that a draw happens to miss counts with its value on all images; left
    out, it would move the mean (rare classes have the low values).
    """
    matches = matched(evaluation, order, groups)
    whole = class_values(matches, np.ones((1, groups)))

    def statistic(weights: Floats) -> Floats:
        values = class_values(matches, weights)
        filled = {name: np.where(np.isnan(values[name]), whole[name], values[name]) for name in METRICS}
        present = ~np.isnan(whole["map"][0])
        means = [filled[name][:, present].mean(axis=1) for name in METRICS if present.any()]
        if not means:
            means = [np.full(len(weights), np.nan) for _ in METRICS]
        return np.column_stack([*means, values["map_50"]])

    return resampled(statistic, groups, resamples, seed), (matches.objects > 0).sum(axis=1)


def _interval(drawn: Resampled, k: int) -> tuple[list[float | None], str]:
    return interval(drawn.point[k], drawn.draws[:, k], drawn.jackknife[:, k], SHARE)


def _complete_columns(values: Floats) -> dict[str, list[float]]:
    """Means over classes to six digits, those that are defined."""
    columns = {name: values[:, k] for k, name in enumerate(METRICS)}
    return {name: [] if np.isnan(v).any() else np.round(v, 6).tolist() for name, v in columns.items()}


def average_precision(truth: dict[str, Any], results: list[dict[str, Any]]) -> float | None:
    """AP50 over the classes that occur, as in `detection_metrics`, and nothing else: quick enough for every epoch."""
    numbers = {image["id"] for image in truth["images"]}
    annotated = {**truth, "annotations": [a for a in truth["annotations"] if a["image_id"] in numbers]}
    return _number(_evaluate(with_ignores(annotated), with_judged(annotated, results)).stats[_SUMMARY["map_50"]])


def _evaluate(truth: dict[str, Any], results: list[dict[str, Any]]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        api = COCO()
        api.dataset = copy.deepcopy(truth)
        api.createIndex()
        detections = COCO()
        detections.dataset = {
            "images": truth["images"],
            "categories": truth["categories"],
            "annotations": [
                {**r, "id": number, "area": r["bbox"][2] * r["bbox"][3], "iscrowd": 0}
                for number, r in enumerate(results, start=1)
            ],
        }
        detections.createIndex()
        evaluation = COCOeval(api, detections, "bbox")
        evaluation.evaluate()
        _leave_unjudged(evaluation, {number for number, r in enumerate(results, start=1) if not r["judged"]})
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _leave_unjudged(evaluation: COCOeval, numbers: set[int]) -> None:
    """Have detections that are not judged ignored where they match nothing."""
    for matches in evaluation.evalImgs if numbers else []:
        if matches is not None:
            unjudged = np.array([number in numbers for number in matches["dtIds"]], np.bool_)
            matches["dtIgnore"] = matches["dtIgnore"].astype(bool) | (unjudged & (matches["dtMatches"] == 0))


def _per_class(evaluation: COCOeval, names: dict[int, str], iou_index: int | None) -> dict[str, float | None]:
    # precision: (IoU thresholds, recalls, classes, areas, max detections); -1 where a class has no object
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    chosen = precision if iou_index is None else precision[iou_index : iou_index + 1]
    values = {}
    for position, category in enumerate(evaluation.params.catIds):
        defined = chosen[:, :, position][chosen[:, :, position] > -1]
        values[names[category]] = float(defined.mean()) if defined.size else None
    return values


def _curves(evaluation: COCOeval, names: dict[int, str]) -> dict[str, list[float]]:
    """Precision at IoU 0.5 over recall, of the classes that occur."""
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    return {
        names[category]: [round(float(value), 4) for value in precision[:, position]]
        for position, category in enumerate(evaluation.params.catIds)
        if (precision[:, position] > -1).any()
    }


def _number(value: float) -> float | None:
    """A metric, or None: pycocotools says -1 where a metric is undefined (no object of that size)."""
    return None if value < 0 else float(value)
