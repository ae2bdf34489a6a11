"""How far COCO metrics may be trusted: bootstrap over images, alone and paired."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval


def paired_difference(
    first: dict[str, Any], second: dict[str, Any], name: str
) -> tuple[float, list[float | None]] | None:
    """Second minus first in a metric, with its 95% interval over the same resampled images.

    Args:
        first: of `detection_metrics`, on some images with some seed.
        second: another detector's, on the same images with the same seed.
        name: `map`, `map_50`, `map_75` or `mar_100`.

    Returns:
        None where one of the two is undefined or has no resamples.
    """
    a, b = (np.array(metrics["bootstrap"].get(name, [])) for metrics in (first, second))
    if first[name] is None or second[name] is None or len(a) == 0 or len(a) != len(b):
        return None
    return second[name] - first[name], percentiles((b - a).tolist())


def draws_over_images(
    evaluation: COCOeval, resamples: int, seed: int
) -> tuple[dict[str, list[float]], npt.NDArray[np.float64]]:
    """Bootstrap over images: matches are computed once, only their accumulation is repeated.

    Every resample averages over the same classes. One that a resample happens to miss counts with its value on all
    images; left out, it would move the mean (rare classes have the low values).

    Returns:
        Means over classes, by metric, and AP50 of each class, `(resamples, classes)`, NaN where a resample has none.
    """
    if not resamples:
        return {}, np.zeros((0, len(evaluation.params.catIds)))
    images = len(evaluation.params.imgIds)
    table = np.array(evaluation.evalImgs, object).reshape(-1, images)
    measured = _class_values(evaluation.eval)
    rng = np.random.default_rng(seed)
    again = copy.copy(evaluation)
    whole = copy.deepcopy(evaluation._paramsEval)
    again._paramsEval = whole
    wanted = copy.deepcopy(whole)  # all sizes together, 100 detections: a tenth of the work
    wanted.areaRng, wanted.areaRngLbl, wanted.maxDets = whole.areaRng[:1], whole.areaRngLbl[:1], whole.maxDets[-1:]
    draws: dict[str, list[float]] = {name: [] for name in measured}
    by_class = []
    for _ in range(resamples):
        again.evalImgs = table[:, rng.integers(0, images, images)].ravel().tolist()
        with contextlib.redirect_stdout(io.StringIO()):
            again.accumulate(wanted)
        drawn = _class_values(again.eval)
        by_class.append(drawn["map_50"])
        for name, values in drawn.items():
            filled = np.where(np.isnan(values), measured[name], values)
            if not np.isnan(filled).all():
                draws[name].append(float(np.nanmean(filled)))
    return draws, np.array(by_class)


def _class_values(accumulated: dict[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """AP, AP50, AP75 and AR100 of each class, NaN where a class has no object (thresholds are .50, .55, ... .95)."""
    precision = accumulated["precision"][:, :, :, 0, -1]
    recall = accumulated["recall"][:, :, 0, -1]
    values = {
        "map": precision.mean(axis=(0, 1)),
        "map_50": precision[0].mean(axis=0),
        "map_75": precision[5].mean(axis=0),
        "mar_100": recall.mean(axis=0),
    }
    return {name: np.where(value < 0, np.nan, value) for name, value in values.items()}


def percentiles(values: list[float]) -> list[float | None]:
    """2.5 and 97.5 per cent; None twice without values."""
    if not values:
        return [None, None]
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]
