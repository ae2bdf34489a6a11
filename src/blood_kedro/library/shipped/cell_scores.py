"""The table of the cell detector: each laboratory, each class, at a known scale and with no hint of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.shipped.cell_detector import detect_at
from blood_kedro.library.shipped.cell_options import CLASSES, CellJudging
from blood_kedro.library.shipped.judge import (
    JudgedClass,
    average_precision,
    count_error_of,
    interval,
    judge,
    precision_of,
)
from blood_kedro.library.shipped.networks import CellMaps
from blood_kedro.library.shipped.picture_sources import OWN
from blood_kedro.library.shipped.pictures import LabelledPicture
from blood_kedro.library.shipped.scale import find_scale
from blood_kedro.library.training.splits import split_groups

_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
Hint = Literal["laboratory", "none"]
_HINTS: tuple[Hint, ...] = ("laboratory", "none")

SCORE_COLUMNS = [
    "training",
    "laboratory",
    "unseen",
    "scale",
    "class",
    "pictures",
    "groups",
    "cells",
    "ap_50",
    "ap_50_low",
    "ap_50_high",
    "counted",
    "count_error",
    "count_error_low",
    "count_error_high",
    "exact",
    "whole",
]
SCALE_COLUMNS = [
    "training",
    "laboratory",
    "unseen",
    "pictures",
    "groups",
    "answered",
    "within_10",
    "within_20",
    "median",
]


@dataclass(frozen=True)
class PicturesByPart:
    """Pictures of a training: to learn from, to choose thresholds on, and to judge it by at home."""

    train: list[LabelledPicture]
    calibration: list[LabelledPicture]
    test: list[LabelledPicture]


def parts_of(pictures: Sequence[LabelledPicture], judging: CellJudging) -> PicturesByPart:
    """Pictures dealt by group, each laboratory alike. Where one has too few groups for that, it is learnt from whole.

    Pictures that are not judged (`LabelledPicture.judged`) are in no part but the first.
    """
    rows_by_part: dict[str, list[int]] = {"calibration": [], "test": []}
    groups = np.unique([each.group_id for each in pictures], return_inverse=True)[1]
    labels = np.array([each.laboratory for each in pictures], object)
    for laboratory in sorted(set(labels)):
        remaining = np.flatnonzero(labels == laboratory)
        for part, share in (("test", judging.test_share), ("calibration", judging.calibration_share)):
            if len(np.unique(groups[remaining])) >= 2 * round(1 / share):
                remaining, chosen = split_groups(remaining, labels, groups, share, judging.seed)
                rows_by_part[part] += chosen.tolist()
    away = set(rows_by_part["calibration"]) | set(rows_by_part["test"])
    calibration, test = ([pictures[k] for k in sorted(rows) if pictures[k].judged] for rows in rows_by_part.values())
    return PicturesByPart([each for k, each in enumerate(pictures) if k not in away], calibration, test)


def some_of(pictures: Sequence[LabelledPicture], laboratory: str, limit: int) -> list[LabelledPicture]:
    """Pictures of a laboratory that are judged; a random choice of `limit`, the same for every model, if more."""
    mine = [each for each in pictures if each.laboratory == laboratory and each.judged]
    chosen = np.sort(np.random.default_rng(1).permutation(len(mine))[:limit])
    return [mine[k] for k in chosen]


def score_laboratories(
    maps: CellMaps, pictures: Sequence[LabelledPicture], config: Mapping[str, Any], judging: CellJudging
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of a model: on the laboratories that it was trained without.

    A model trained on all is judged at home: on the groups that were kept from it, and on BCCD's official test list by
    the labels of that (`bccd_own`: incomplete).

    Args:
        maps: the detector.
        pictures: all that there are.
        config: of the model: `name`, `left_out`, `cell_px`, `thresholds`, `test_pictures`.
        judging: settings.
    """
    scores, scales = [], []
    held_out = set(config["test_pictures"])
    home = [each for each in pictures if each.image_id in held_out or each.laboratory.endswith(OWN)]
    for laboratory in config["left_out"] or sorted({each.laboratory for each in home}):
        mine = some_of(pictures if config["left_out"] else home, laboratory, judging.limit)
        if not mine:
            continue
        facts = {"training": config["name"], "laboratory": laboratory, "unseen": laboratory in config["left_out"]}
        for hint in _HINTS:
            rows, widths = score_cells(
                maps, mine, config["cell_px"], config["thresholds"], hint=hint, draws=judging.draws, seed=judging.seed
            )
            scores += [{**facts, **row} for row in rows]
        scales.append({**facts, **scale_row(widths, len({each.group_id for each in mine}))})
    return pd.DataFrame(scores, columns=SCORE_COLUMNS), pd.DataFrame(scales, columns=SCALE_COLUMNS)


def score_cells(
    maps: CellMaps,
    pictures: Sequence[LabelledPicture],
    cell_px: float,
    thresholds: dict[str, float],
    *,
    hint: Hint,
    draws: int,
    seed: int,
) -> tuple[list[dict[str, object]], list[float]]:
    """Rows of the table for pictures of one laboratory, and the width found on each over the true one.

    Args:
        maps: the detector.
        pictures: at `cell_px`.
        cell_px: width of a red cell in them.
        thresholds: scores from which cells are counted, by class.
        hint: `laboratory` reads them at the width that the labels of the laboratory have; `none` at the one found from
            each picture.
        draws: of the bootstrap over groups.
        seed: of the bootstrap.
    """
    detected, widths = [], []
    for picture in pictures:
        detections, width = _detect(maps, picture, cell_px, hint)
        detected.append(detections)
        widths.append(width)
    rows = []
    for number, label in enumerate(CLASSES):
        if not all(picture.known[number] for picture in pictures):
            continue
        judged = [judge(p, f, label, thresholds[label]) for p, f in zip(pictures, detected, strict=True)]
        row = {"scale": hint, "class": label, **_row(judged, draws, seed)}
        rows.append({**row, "whole": float("nan")} if label == "platelet" else row)
    return rows, widths


def _detect(maps: CellMaps, picture: LabelledPicture, cell_px: float, hint: Hint) -> tuple[Detections, float]:
    if hint == "laboratory":
        return detect_at(maps, picture.pixels, 1.0), 1.0
    width = find_scale(maps, picture.pixels, cell_px).cell_px
    if not np.isfinite(width):
        return Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0)), float("nan")
    return detect_at(maps, picture.pixels, cell_px / width), width / cell_px


def _row(judged: list[JudgedClass], draws: int, seed: int) -> dict[str, object]:
    ap_low, ap_high = interval(judged, precision_of(judged), draws, seed, most=1.0)
    error_low, error_high = interval(judged, count_error_of(judged), draws, seed)
    cells = sum(each.cells for each in judged)
    return {
        "pictures": len(judged),
        "groups": len({each.group_id for each in judged}),
        "cells": cells,
        "ap_50": average_precision(judged),
        "ap_50_low": ap_low,
        "ap_50_high": ap_high,
        "counted": sum(each.counted for each in judged),
        "count_error": _count_error(judged),
        "count_error_low": error_low,
        "count_error_high": error_high,
        "exact": float(np.mean([each.counted == each.cells for each in judged])),
        "whole": sum(each.whole for each in judged) / cells if cells else float("nan"),
    }


def _count_error(judged: Sequence[JudgedClass]) -> float:
    return count_error_of(judged)(np.ones(len(judged)))


def scale_row(widths: Sequence[float], groups: int) -> dict[str, object]:
    """How near the widths found are to the true ones (shares of all pictures; one without an answer is a miss)."""
    values = np.array(widths, np.float64)
    off = np.abs(np.nan_to_num(values, nan=np.inf) - 1)
    return {
        "pictures": len(values),
        "groups": groups,
        "answered": int(np.isfinite(values).sum()),
        "within_10": float((off <= 0.1).mean()),
        "within_20": float((off <= 0.2).mean()),
        "median": float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan"),
    }


def counting_thresholds(maps: CellMaps, pictures: Sequence[LabelledPicture]) -> dict[str, float]:
    """Score from which each class is counted: where the errors of counts are least, each laboratory weighing the same.

    To be found on groups of the laboratories that the network was trained on, neither learnt from nor judged by.
    """
    detections = [detect_at(maps, picture.pixels, 1.0) for picture in pictures]
    best: dict[str, float] = {}
    for number, label in enumerate(CLASSES):
        judged: dict[str, list[tuple[LabelledPicture, Detections]]] = {}
        for picture, cells in zip(pictures, detections, strict=True):
            if picture.known[number]:
                judged.setdefault(picture.laboratory, []).append((picture, cells))
        errors = {
            threshold: np.nansum(
                [_count_error([judge(p, f, label, threshold) for p, f in mine]) for mine in judged.values()]
            )
            for threshold in _THRESHOLDS
        }
        best[label] = min(errors, key=lambda threshold: (errors[threshold], abs(threshold - 0.35)))
    return best
