"""COCO detection metrics by pycocotools, with ignore regions and bootstrap intervals over images."""

from __future__ import annotations

import contextlib
import copy
import io
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from blood_kedro.library.core import taxonomy
from blood_kedro.library.evaluation.bootstrap import draws_over_images, percentiles

# Order of pycocotools' own summary.
_SUMMARY = {
    "map": 0, "map_50": 1, "map_75": 2, "map_small": 3, "map_medium": 4, "map_large": 5, "mar_100": 8,
}  # fmt: skip


def detection_metrics(
    truth: dict[str, Any], results: list[dict[str, Any]], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Metrics of one detector on one split.

    A detection on an ignore region (a visible cell that nobody labelled) is neither right nor wrong, for every class
    that the cell may have. AP is averaged over the classes that occur in the split; an undefined value is None.

    Args:
        truth: COCO json; ignore regions have `iscrowd: 1` and their coarse class in `label`.
        results: COCO results.
        resamples: bootstrap resamples of images for the 95% percentile intervals; 0 leaves them out.
        seed: of the bootstrap.

    Returns:
        `map, map_50, map_75, map_small, map_medium, map_large, mar_100`, `interval_95` (for AP, AP50, AP75 and AR100)
        and the resampled values behind it, `bootstrap` (the same images in each resample for every detector),
        `ap_50_per_class`, its `ap_50_interval_95_per_class` (over the resamples that hold the class), `ap_per_class`,
        `objects_per_class`, `precision_recall` (of each class, precision at IoU 0.5
        and recall 0.00, 0.01 .. 1.00), all of these for the classes rbc, wbc and platelet under `coarse`, the two
        headlines of that as `map_50_coarse` and `ap_50_per_class_coarse`, and the sample sizes `images`, `objects`,
        `ignore_regions`.
    """
    coarse_truth, coarse_results = _coarse_view(truth, results)
    fine = _measured(truth, results, resamples, seed)
    coarse = _measured(coarse_truth, coarse_results, resamples, seed)
    objects = sum(not a["iscrowd"] for a in truth["annotations"])
    return {
        **fine,
        "coarse": coarse,
        "map_50_coarse": coarse["map_50"],
        "ap_50_per_class_coarse": coarse["ap_50_per_class"],
        "images": len(truth["images"]),
        "objects": objects,
        "ignore_regions": len(truth["annotations"]) - objects,
        "detections": len(results),
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
        leak); `as_labelled`: without ignore regions, so that a detection on a cell that nobody labelled is a false
        alarm, as in figures published on incomplete labels.
    """
    seen = {image.get("group") for image in known} - {None}
    clean = [image for image in truth["images"] if image.get("group") not in seen]
    found = {}
    if 0 < len(clean) < len(truth["images"]):
        found["unexposed"] = detection_metrics(*_only(truth, results, clean), resamples=resamples, seed=seed)
    labelled = [annotation for annotation in truth["annotations"] if not annotation["iscrowd"]]
    if len(labelled) < len(truth["annotations"]):
        bare = {**truth, "annotations": labelled}
        found["as_labelled"] = detection_metrics(bare, results, resamples=resamples, seed=seed)
    return found


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
    evaluation = _evaluate(_with_ignores(truth), results)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    counts = Counter(a["category_id"] for a in truth["annotations"] if not a["iscrowd"])
    draws, by_class = draws_over_images(evaluation, resamples, seed)
    return {
        **{name: _number(evaluation.stats[position]) for name, position in _SUMMARY.items()},
        "interval_95": {name: percentiles(values) for name, values in draws.items()},
        "bootstrap": draws,
        "ap_per_class": _per_class(evaluation, names, None),
        "ap_50_per_class": _per_class(evaluation, names, 0),
        "ap_50_interval_95_per_class": {
            names[category]: percentiles([float(v) for v in column if not np.isnan(v)])
            for category, column in zip(evaluation.params.catIds, by_class.T, strict=True)
        },
        "objects_per_class": {name: counts[number] for number, name in names.items()},
        "precision_recall": _curves(evaluation, names),
    }


def average_precision(truth: dict[str, Any], results: list[dict[str, Any]]) -> float | None:
    """AP50 over the classes that occur, as in `detection_metrics`, and nothing else: quick enough for every epoch."""
    numbers = {image["id"] for image in truth["images"]}
    seen = {**truth, "annotations": [a for a in truth["annotations"] if a["image_id"] in numbers]}
    return _number(_evaluate(_with_ignores(seen), results).stats[_SUMMARY["map_50"]])


def _with_ignores(truth: dict[str, Any]) -> dict[str, Any]:
    """Repeat each ignore region for every class the cell may have: COCO matches within one class only."""
    annotations = []
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            annotations.append(annotation)
            continue
        label = annotation["label"]
        for category in truth["categories"]:
            name = category["name"]
            if taxonomy.is_a(name, label) or taxonomy.is_a(label, name):
                annotations.append({**annotation, "category_id": category["id"]})
    numbered = [{**annotation, "id": number} for number, annotation in enumerate(annotations, start=1)]
    return {**truth, "annotations": numbered}


def _coarse_view(truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    number_of = {name: number for number, name in enumerate(taxonomy.COARSE, start=1)}
    to_coarse = {c["id"]: number_of[taxonomy.coarse(c["name"])] for c in truth["categories"]}
    annotations = [
        {**a, "category_id": number_of[taxonomy.coarse(a["label"])], "label": taxonomy.coarse(a["label"])}
        for a in truth["annotations"]
    ]
    categories = [{"id": number, "name": name} for name, number in number_of.items()]
    coarse_results = [{**r, "category_id": to_coarse[r["category_id"]]} for r in results]
    return {**truth, "annotations": annotations, "categories": categories}, coarse_results


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
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


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
