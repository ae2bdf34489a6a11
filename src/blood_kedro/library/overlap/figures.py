"""Figures of Gurav et al. 2025 (5 to 11), and crops with what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blood_kedro.library.core.colours import BLUE, GREY, RED
from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.overlap.score import NAMES


def overlap_figure(answers: pd.DataFrame, score: dict[str, Any]) -> Figure:
    """Class bars (Fig. 5), confusion (6, 8), confidence (7, 10), measures per class (9) and ROC (11)."""
    against = score.get("against_truth", score["against_labels"])
    judge = "truth" if "against_truth" in score else "weak label"
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 3)
    _bars(axes[0, 0], against, judge)
    _confusion(axes[0, 1], np.array(against["confusion"]), NAMES, judge)
    _confidence(axes[0, 2], answers)
    _per_class(axes[1, 0], against)
    _roc(axes[1, 1], against, judge)
    if "counting" in against:
        names = ("1", "2", "3", "4+")
        _confusion(axes[1, 2], np.array(against["counting"]["confusion"]), names, "cells, truth")
    else:
        axes[1, 2].axis("off")
    return figure


def _bars(axis: Axes, against: dict[str, Any], judge: str) -> None:
    counts = [against["crops"] - against["overlapping"], against["overlapping"]]
    axis.bar(NAMES, counts, color=[BLUE, RED])
    axis.bar_label(axis.containers[0])  # type: ignore[arg-type]
    axis.set(title=f"test crops by {judge}", ylabel="crops")


def _confusion(axis: Axes, matrix: Any, names: tuple[str, ...], judge: str) -> None:  # noqa: ANN401 - an array
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "w" if shares[row, column] > 0.55 else "k"
        axis.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="found", ylabel=judge, title="confusion, crops")


def _confidence(axis: Axes, answers: pd.DataFrame) -> None:
    p = answers["overlapping"].to_numpy()
    axis.hist(np.maximum(p, 1 - p), bins=np.linspace(0.5, 1, 26).tolist(), color=GREY)
    axis.set(title="confidence of the answer", xlabel="probability of the class chosen", ylabel="crops")


def _per_class(axis: Axes, against: dict[str, Any]) -> None:
    measures = ("precision", "recall", "f1")
    for k, (name, prefix, colour) in enumerate((("single", "single_", BLUE), ("overlapping", "", RED))):
        values = [against[f"{prefix}{measure}"] or 0 for measure in measures]
        bars = axis.bar(np.arange(3) + 0.4 * k - 0.2, values, 0.38, label=name, color=colour)
        axis.bar_label(bars, fmt="%.2f", fontsize=8)
    axis.set_xticks(range(3), measures)
    axis.set(ylim=(0, 1.12), title="per class")
    axis.legend(fontsize=8, loc="lower right")


def _roc(axis: Axes, against: dict[str, Any], judge: str) -> None:
    grid, curve = against["roc"]
    if curve[0] is not None:
        axis.plot(grid, curve, color=RED, label=f"classifier ({against['auc']:.3f})")
    if "labels" in against and against["labels"]["auc"] is not None:
        labels = against["labels"]
        axis.plot(*labels["roc"], "--", color=GREY, label=f"weak labels ({labels['auc']:.3f})")
    axis.plot([0, 1], [0, 1], ":", color=GREY)
    axis.set(xlabel="false positive rate", ylabel="recall of overlapping", title=f"ROC against {judge} (area)")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, loc="lower right")


def crops_figure(cells: CropSet, table: pd.DataFrame, labels: pd.DataFrame, seed: int, columns: int = 12) -> Figure:
    """Crops by how sure the rules are that the cell in the middle overlaps: single, doubtful, overlapping."""
    p = labels["overlapping"].to_numpy(np.float64)
    bands = (("single", p < 0.1), ("doubtful", (p >= 0.1) & (p <= 0.9)), ("overlapping", p > 0.9))
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(columns * 1.05, 6.9), layout="constrained")
    axes = figure.subplots(6, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    for band, (name, chosen) in enumerate(bands):
        rows = rng.permutation(np.flatnonzero(chosen))[: 2 * columns]
        for place, row in enumerate(rows):
            axis = axes[2 * band + place // columns][place % columns]
            axis.imshow(cells.crops[row])
            if cells.masks[row].any() and not cells.masks[row].all():
                axis.contour(cells.masks[row], [0.5], colors=[RED], linewidths=0.7)
            true = table["true_cells"].iloc[row]
            axis.set_title(f"{p[row]:.2f}" + ("" if np.isnan(true) else f" · {int(true)}"), fontsize=7, pad=2)
        axes[2 * band][0].set_ylabel(name, fontsize=9)
    figure.suptitle("probability of overlap by the label model · true cells, where known; red: component", fontsize=9)
    return figure
