"""What a detector does wrong, at one operating point: kinds of error, confusion of classes, counts per image.

Average precision says how good a ranking is; a count needs one threshold. The kinds of error follow TIDE (Bolya et al.,
ECCV 2020), with one of this field's own: two touching cells found as one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.taxonomy import COARSE, coarse

KINDS = ("correct", "duplicate", "wrong_class", "merged", "poor_box", "ignored", "false_alarm")
_MATCH_IOU, _POOR_IOU, _SWALLOWED = 0.5, 0.1, 0.7


def error_analysis(
    truth: dict[str, Any], results: list[dict[str, Any]], *, score: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Errors of the detections of at least `score`.

    A detection is, in this order: `correct` (IoU >= 0.5 with a cell of its class that is not taken yet, best score
    first), `duplicate` (with one that is), `wrong_class` (IoU >= 0.5 with a cell of another class), `merged` (it
    swallows two or more cells to 70%), `poor_box` (IoU >= 0.1 with a cell), `ignored` (half of it on an ignore region),
    else `false_alarm`. A cell without a correct detection is `missed`.

    Args:
        truth: COCO json; ignore regions have `iscrowd: 1` and their coarse class in `label`.
        results: COCO results.
        score: operating point.
        resamples: bootstrap resamples of images for the intervals of counting errors; 0 leaves them out.
        seed: of the bootstrap.

    Returns:
        `score_threshold`; `errors`: number of each kind, and `missed`, of `objects`; `confusion`: `classes` and
        `matrix`, rows true, columns found, background last in both (pairs by IoU >= 0.5 whatever the class, best score
        first; detections on ignore regions left out); `counting` per coarse class: cells per image, mean absolute error
        and bias of the count, with 95% intervals. Cells of ignore regions count as cells there.
    """
    classes = [category["name"] for category in truth["categories"]]
    position = {category["id"]: k for k, category in enumerate(truth["categories"])}
    cells, regions = (_by_image(truth["annotations"], crowd=crowd) for crowd in (False, True))
    found = _found(results, score)
    errors: Counter[str] = Counter(dict.fromkeys((*KINDS, "missed"), 0))
    matrix = np.zeros((len(classes) + 1, len(classes) + 1), np.int64)
    true_counts, found_counts = (np.zeros((len(truth["images"]), len(COARSE))) for _ in range(2))
    for row, image in enumerate(truth["images"]):
        mine, ignored, detections = cells[image["id"]], regions[image["id"]], found[image["id"]]
        kinds, missed = _kinds(mine, ignored, detections)
        errors.update(kinds)
        errors["missed"] += missed
        _confuse(matrix, mine, ignored, detections, position)
        for annotation in [*mine, *ignored]:
            true_counts[row, COARSE.index(coarse(annotation["label"]))] += 1
        for detection in detections:
            found_counts[row, COARSE.index(coarse(classes[position[detection["category_id"]]]))] += 1
    return {
        "score_threshold": score,
        "objects": sum(len(rows) for rows in cells.values()),
        "errors": dict(errors),
        "confusion": {"classes": [*classes, "background"], "matrix": matrix.tolist()},
        "counting": _counting(true_counts, found_counts, resamples, seed),
    }


def _by_image(annotations: list[dict[str, Any]], *, crowd: bool) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        if bool(annotation["iscrowd"]) == crowd:
            rows[annotation["image_id"]].append(annotation)
    return rows


def _found(results: list[dict[str, Any]], score: float) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in sorted(results, key=lambda r: -r["score"]):
        if result["score"] >= score:
            rows[result["image_id"]].append(result)
    return rows


def _kinds(
    cells: list[dict[str, Any]], regions: list[dict[str, Any]], detections: list[dict[str, Any]]
) -> tuple[list[str], int]:
    """The kind of each detection, best score first, and the number of missed cells."""
    truth, found = boxlib.from_coco(cells), boxlib.from_coco(detections)
    overlap = boxlib.iou(found, truth)
    covered = boxlib.intersection(found, truth) / np.maximum(boxlib.area(truth), 1e-9)
    on_region = boxlib.covered_share(found, boxlib.from_coco(regions)) >= 0.5
    labels = np.array([cell["category_id"] for cell in cells])
    taken = np.zeros(len(cells), np.bool_)
    kinds = []
    for k, detection in enumerate(detections):
        near = overlap[k] >= _MATCH_IOU
        same = near & (labels == detection["category_id"]) if len(cells) else near
        free = np.flatnonzero(same & ~taken)
        if len(free):
            taken[free[overlap[k][free].argmax()]] = True
            kinds.append("correct")
        elif same.any():
            kinds.append("duplicate")
        elif near.any():
            kinds.append("wrong_class")
        elif (covered[k] >= _SWALLOWED).sum() >= 2:
            kinds.append("merged")
        elif (overlap[k] >= _POOR_IOU).any():
            kinds.append("poor_box")
        else:
            kinds.append("ignored" if on_region[k] else "false_alarm")
    return kinds, int((~taken).sum())


def _confuse(
    matrix: npt.NDArray[np.int64],
    cells: list[dict[str, Any]],
    regions: list[dict[str, Any]],
    detections: list[dict[str, Any]],
    position: dict[int, int],
) -> None:
    """Add the pairs of one image to the matrix."""
    background = len(matrix) - 1
    overlap = boxlib.iou(boxlib.from_coco(detections), boxlib.from_coco(cells))
    on_region = boxlib.covered_share(boxlib.from_coco(detections), boxlib.from_coco(regions)) >= 0.5
    free = np.ones(len(cells), np.bool_)
    for k, detection in enumerate(detections):
        column = position[detection["category_id"]]
        candidates = np.where(free, overlap[k], 0.0)
        if len(cells) and candidates.max() >= _MATCH_IOU:
            best = int(candidates.argmax())
            free[best] = False
            matrix[position[cells[best]["category_id"]], column] += 1
        elif not on_region[k]:
            matrix[background, column] += 1
    for cell, missed in zip(cells, free, strict=True):
        matrix[position[cell["category_id"]], background] += int(missed)


def _counting(
    truth: npt.NDArray[np.float64], found: npt.NDArray[np.float64], resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    difference = found - truth
    draws = np.random.default_rng(seed).integers(0, max(len(truth), 1), (resamples, len(truth)))
    table: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(COARSE):
        if not len(truth):
            table[name] = {"images": 0, "cells_per_image": None, "mean_absolute_error": None, "bias": None}
            continue
        own = difference[:, column]
        table[name] = {
            "images": len(truth),
            "cells_per_image": float(truth[:, column].mean()),
            "mean_absolute_error": float(np.abs(own).mean()),
            "bias": float(own.mean()),
        }
        if resamples:
            table[name]["mean_absolute_error_interval_95"] = _interval(np.abs(own)[draws].mean(axis=1))
            table[name]["bias_interval_95"] = _interval(own[draws].mean(axis=1))
    return table


def _interval(values: npt.NDArray[np.float64]) -> list[float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]
