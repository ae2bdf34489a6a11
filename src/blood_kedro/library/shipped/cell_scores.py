"""The table of the cell detector: each laboratory, each class, at a known scale and with no hint of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.shipped.cell_detector import detect_at
from blood_kedro.library.shipped.cell_options import CLASSES, CellJudging
from blood_kedro.library.shipped.centre_net import CentreNet
from blood_kedro.library.shipped.judge import Judged, average_precision, count_error_of, interval, judge, precision_of
from blood_kedro.library.shipped.pictures import LabelledPicture
from blood_kedro.library.shipped.scale import find_scale

_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
Hint = Literal["laboratory", "none"]
_HINTS: tuple[Hint, ...] = ("laboratory", "none")

SCORE_COLUMNS = [
    "trained_without", "laboratory", "scale", "class", "pictures", "groups", "cells",
    "ap_50", "ap_50_low", "ap_50_high", "counted", "count_error", "count_error_low", "count_error_high",
    "exact", "whole",
]  # fmt: skip
SCALE_COLUMNS = ["trained_without", "laboratory", "pictures", "groups", "answered", "within_10", "within_20", "median"]


def judged_pictures(pictures: Sequence[LabelledPicture], laboratory: str, limit: int) -> list[LabelledPicture]:
    """Pictures of a laboratory that are judged; a random choice of `limit`, the same for every model, if more."""
    mine = [each for each in pictures if each.laboratory == laboratory and each.judged]
    chosen = np.sort(np.random.default_rng(1).permutation(len(mine))[:limit])
    return [mine[k] for k in chosen]


def some_of_each(pictures: Sequence[LabelledPicture], limit: int = 15) -> list[LabelledPicture]:
    """Up to `limit` completely labelled pictures of each laboratory."""
    laboratories = sorted({each.laboratory for each in pictures})
    return [each for name in laboratories for each in judged_pictures(pictures, name, limit)]


def score_laboratories(
    network: CentreNet, pictures: Sequence[LabelledPicture], config: Mapping[str, Any], judging: CellJudging
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of a model: on the laboratories that it was trained without.

    A model trained on all is judged on BCCD's official test list, by the labels of that (`bccd_own`: incomplete).

    Args:
        network: the detector.
        pictures: all that there are.
        config: of the model: `left_out`, `cell_px`, `thresholds`.
        judging: settings.
    """
    scores, scales = [], []
    for laboratory in config["left_out"] or ["bccd_own"]:
        mine = judged_pictures(pictures, laboratory, judging.limit)
        if not mine:
            continue
        facts = {"trained_without": "+".join(config["left_out"]) or "nothing", "laboratory": laboratory}
        for hint in _HINTS:
            rows, widths = score_cells(
                network,
                mine,
                config["cell_px"],
                config["thresholds"],
                hint=hint,
                draws=judging.draws,
                seed=judging.seed,
            )
            scores += [{**facts, **row} for row in rows]
        scales.append({**facts, **scale_row(widths, len({each.group_id for each in mine}))})
    return pd.DataFrame(scores, columns=SCORE_COLUMNS), pd.DataFrame(scales, columns=SCALE_COLUMNS)


def score_cells(
    network: CentreNet, pictures: Sequence[LabelledPicture], cell_px: float, thresholds: dict[str, float], *,
    hint: Hint, draws: int, seed: int,
) -> tuple[list[dict[str, object]], list[float]]:  # fmt: skip
    """Rows of the table for pictures of one laboratory, and the width found on each over the true one.

    Args:
        network: the detector.
        pictures: at `cell_px`.
        cell_px: width of a red cell in them.
        thresholds: scores from which cells are counted, by class.
        hint: `laboratory` reads them at the width that the labels of the laboratory have; `none` at the one found from
            each picture.
        draws: of the bootstrap over groups.
        seed: of the bootstrap.
    """
    found, widths = [], []
    for picture in pictures:
        detections, width = _detect(network, picture, cell_px, hint)
        found.append(detections)
        widths.append(width)
    rows = []
    for number, label in enumerate(CLASSES):
        if not all(picture.known[number] for picture in pictures):
            continue
        judged = [judge(p, f, label, thresholds[label]) for p, f in zip(pictures, found, strict=True)]
        row = {"scale": hint, "class": label, **_row(judged, draws, seed)}
        rows.append({**row, "whole": float("nan")} if label == "platelet" else row)
    return rows, widths


@torch.inference_mode()
def _detect(network: CentreNet, picture: LabelledPicture, cell_px: float, hint: Hint) -> tuple[Detections, float]:
    if hint == "laboratory":
        return detect_at(network, picture.pixels, 1.0), 1.0
    width = find_scale(network, picture.pixels, cell_px).cell_px
    if not np.isfinite(width):
        return Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0)), float("nan")
    return detect_at(network, picture.pixels, cell_px / width), width / cell_px


def _row(judged: list[Judged], draws: int, seed: int) -> dict[str, object]:
    ap_low, ap_high = interval(judged, precision_of(judged), draws, seed)
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


def _count_error(judged: Sequence[Judged]) -> float:
    return count_error_of(judged)(np.ones(len(judged)))


def scale_row(widths: Sequence[float], groups: int) -> dict[str, object]:
    """How near the widths found are to the true ones (shares of all pictures; one without an answer is a miss)."""
    values = np.array(widths, np.float64)
    off = np.abs(np.nan_to_num(values, nan=np.inf) - 1)
    return {
        "pictures": len(values), "groups": groups, "answered": int(np.isfinite(values).sum()),
        "within_10": float((off <= 0.1).mean()), "within_20": float((off <= 0.2).mean()),
        "median": float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan"),
    }  # fmt: skip


def counting_thresholds(network: CentreNet, pictures: Sequence[LabelledPicture]) -> dict[str, float]:
    """Score from which each class is counted: where the errors of counts are least, each laboratory weighing the same.

    To be found on pictures that the network was trained on, never on those that it is judged by.
    """
    with torch.inference_mode():
        found = [detect_at(network, picture.pixels, 1.0) for picture in pictures]
    best: dict[str, float] = {}
    for number, label in enumerate(CLASSES):
        judged: dict[str, list[tuple[LabelledPicture, Detections]]] = {}
        for picture, cells in zip(pictures, found, strict=True):
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
