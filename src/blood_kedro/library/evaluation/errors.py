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
from blood_kedro.library.core.limits import IGNORED_SHARE, RIGHT_IOU
from blood_kedro.library.core.taxonomy import COARSE, coarse, is_a, is_labelled, labelled_by
from blood_kedro.library.evaluation.resampling import Floats, mean_error_intervals
from blood_kedro.library.evaluation.views import one_per_cell, with_judged

OUTCOMES = ("correct", "duplicate", "wrong_class", "merged", "poor_box", "ignored", "false_alarm")
_POOR_IOU, _SWALLOWED = 0.1, 0.7


def error_analysis(
    truth: dict[str, Any], results: list[dict[str, Any]], *, score: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Errors of the detections of at least `score`.

    A detection is, in this order: `correct` (IoU >= 0.5 with a cell of its class that is not taken yet, best score
    first), `duplicate` (with one that is), `wrong_class` (IoU >= 0.5 with a cell of another class), `merged` (it
    swallows two or more cells to 70%), `poor_box` (IoU >= 0.1 with a cell), `ignored` (half of it on an ignore region),
    else `false_alarm`. A cell without a correct detection is `missed`. What labels cannot tell is `ignored`, too: a
    finer class than the label of the cell that it meets (which then is not missed), and a class that the image's source
    does not label wherever it shows, where it meets no cell.

    Args:
        truth: COCO json; ignore regions have `iscrowd: 1` and their coarse class in `label`; images may name their
            `source` and their `group`.
        results: COCO results.
        score: operating point.
        resamples: draws of groups of images for the intervals of counting errors; 0 leaves them out.
        seed: of the draws.

    Returns:
        `score_threshold`; `errors`: number of each kind, and `missed`, of `objects`; `confusion`: `classes` and
        `matrix`, rows true, columns found, background last in both (pairs by IoU >= 0.5 whatever the class, best score
        first; detections that are ignored left out); `counting` per coarse class: cells per image, mean absolute error
        and bias of the count, with 95% intervals, over the images whose source labels all cells of the class (None
        where there are none). Cells of ignore regions count as cells there, and a cell found under several fine names
        counts once.
    """
    classes = [category["name"] for category in truth["categories"]]
    position = {category["id"]: k for k, category in enumerate(truth["categories"])}
    finer = np.array([[one != other and is_a(one, other) for other in classes] for one in classes], np.bool_)
    cells, regions = (_by_image(truth["annotations"], crowd=crowd) for crowd in (False, True))
    by_image = _confident_by_image(with_judged(truth, results), score)
    errors: Counter[str] = Counter(dict.fromkeys((*OUTCOMES, "missed"), 0))
    matrix = np.zeros((len(classes) + 1, len(classes) + 1), np.int64)
    for image in truth["images"]:
        mine, ignored, detections = cells[image["id"]], regions[image["id"]], by_image[image["id"]]
        kinds, missed = _kinds(mine, ignored, detections, position, finer)
        errors.update(kinds)
        errors["missed"] += missed
        _confuse(matrix, mine, ignored, detections, position)
    return {
        "score_threshold": score,
        "objects": sum(len(rows) for rows in cells.values()),
        "errors": dict(errors),
        "confusion": {"classes": [*classes, "background"], "matrix": matrix.tolist()},
        "counting": _counting(truth, results, score, resamples, seed),
    }


def _by_image(annotations: list[dict[str, Any]], *, crowd: bool) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        if bool(annotation["iscrowd"]) == crowd:
            rows[annotation["image_id"]].append(annotation)
    return rows


def _confident_by_image(results: list[dict[str, Any]], score: float) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in sorted(results, key=lambda r: -r["score"]):
        if result["score"] >= score:
            rows[result["image_id"]].append(result)
    return rows


def _kinds(
    cells: list[dict[str, Any]],
    regions: list[dict[str, Any]],
    detections: list[dict[str, Any]],
    position: dict[int, int],
    finer: npt.NDArray[np.bool_],
) -> tuple[list[str], int]:
    """The kind of each detection, best score first, and the number of missed cells."""
    truth, predicted = boxlib.from_coco(cells), boxlib.from_coco(detections)
    overlap = boxlib.iou(predicted, truth)
    covered = boxlib.intersection(predicted, truth) / np.maximum(boxlib.area(truth), 1e-9)
    on_region = boxlib.covered_share(predicted, boxlib.from_coco(regions)) >= IGNORED_SHARE
    labels = np.array([position[cell["category_id"]] for cell in cells], np.int64)
    taken = np.zeros(len(cells), np.bool_)
    kinds = []
    for k, detection in enumerate(detections):
        near = overlap[k] >= RIGHT_IOU
        claimed = position[detection["category_id"]]
        same, below = near & (labels == claimed), near & finer[claimed, labels]
        free = np.flatnonzero(same & ~taken)
        if len(free):
            taken[free[overlap[k][free].argmax()]] = True
            kinds.append("correct")
        elif same.any():
            kinds.append("duplicate")
        elif below.any():
            taken |= below
            kinds.append("ignored")
        elif near.any():
            kinds.append("wrong_class")
        elif not detection["judged"]:
            kinds.append("ignored")
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
    on_region = boxlib.covered_share(boxlib.from_coco(detections), boxlib.from_coco(regions)) >= IGNORED_SHARE
    free = np.ones(len(cells), np.bool_)
    for k, detection in enumerate(detections):
        column = position[detection["category_id"]]
        candidates = np.where(free, overlap[k], 0.0)
        if len(cells) and candidates.max() >= RIGHT_IOU:
            best = int(candidates.argmax())
            free[best] = False
            matrix[position[cells[best]["category_id"]], column] += 1
        elif not on_region[k] and detection["judged"]:
            matrix[background, column] += 1
    for cell, missed in zip(cells, free, strict=True):
        matrix[position[cell["category_id"]], background] += int(missed)


def _counting(
    truth: dict[str, Any], results: list[dict[str, Any]], score: float, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Errors of the count of each coarse class."""
    known = labelled_by(truth)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    strong = [
        {**r, "category_id": COARSE.index(coarse(names[r["category_id"]]))} for r in results if r["score"] >= score
    ]
    counted = Counter((r["image_id"], COARSE[r["category_id"]]) for r in one_per_cell(strong))
    labelled = Counter((a["image_id"], coarse(a["label"])) for a in truth["annotations"])
    table = {}
    for name in COARSE:
        images = [i for i in truth["images"] if is_labelled(name, known.get(i.get("source"), (name,)))]
        counts = np.array([[c[i["id"], name] for i in images] for c in (labelled, counted)], np.float64).reshape(2, -1)
        groups = np.array([str(i.get("group") or i["id"]) for i in images], object)
        table[name] = _count_errors(counts[0], counts[1] - counts[0], groups, resamples, seed)
    return table


def _count_errors(
    labelled: Floats, difference: Floats, groups: npt.NDArray[np.object_], resamples: int, seed: int
) -> dict[str, Any]:
    if not len(labelled):
        return {"images": 0, "cells_per_image": None, "mean_absolute_error": None, "bias": None}
    facts: dict[str, Any] = {
        "images": len(labelled),
        "cells_per_image": float(labelled.mean()),
        "mean_absolute_error": float(np.abs(difference).mean()),
        "bias": float(difference.mean()),
    }
    if not resamples:
        return facts
    bootstrapped = mean_error_intervals(difference, groups, resamples, seed)
    return (
        facts
        | {f"{name}_interval_95": limits for name, limits in bootstrapped.limits.items()}
        | {"interval_basis": bootstrapped.basis}
    )
