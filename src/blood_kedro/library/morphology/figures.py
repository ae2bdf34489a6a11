"""Figures 6 to 10 of Elmanna et al. 2024, and what they lack: calibration, abstention, where a classifier looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from blood_kedro.library.core.colours import BLUE, GREY, RED
from blood_kedro.library.evaluation.classification import roc
from blood_kedro.library.morphology.summary import truth_and_probabilities


def variant_figure(predictions: pd.DataFrame, score: dict[str, Any]) -> Figure:
    """Confusion (Fig. 6), ROC per class (Fig. 7), reliability, and accuracy against the share that is answered."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    axes = figure.subplots(2, 2)
    _confusion(axes[0, 0], score)
    _roc(axes[0, 1], predictions, score["classes"])
    _reliability(axes[1, 0], score)
    _abstention(axes[1, 1], score)
    return figure


def _confusion(axis: Axes, score: dict[str, Any]) -> None:
    matrix, names = np.array(score["confusion"]), [name.replace("_", " ") for name in score["classes"]]
    axis.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(matrix.shape):
        value = matrix[row, column]
        if value >= 0.05:
            axis.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color="w" if value > 55 else "k"
            )
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set(xlabel="found", ylabel="labelled", title="per cent of each class, mean over runs")


def _roc(axis: Axes, predictions: pd.DataFrame, classes: list[str]) -> None:
    grid = np.linspace(0, 1, 201)
    colours = [f"C{k}" for k in range(10)] * 3
    for k, (name, colour) in enumerate(zip(classes, colours, strict=False)):
        curves = [
            roc(*truth_and_probabilities(run, classes), k, grid) for _, run in predictions.groupby("run", sort=False)
        ]
        mean = np.mean(curves, axis=0)
        if not np.isnan(mean).any():
            area = float(np.trapezoid(mean, grid))
            style = "-" if k < 10 else "--"
            axis.plot(grid, mean, style, color=colour, lw=1.2, label=f"{name.replace('_', ' ')} ({area:.3f})")
    axis.plot([0, 1], [0, 1], ":", color=GREY, lw=1)
    axis.set(xlabel="false positive rate", ylabel="sensitivity", title="each class against the rest (area)")
    axis.legend(fontsize=7, loc="lower right")


def _reliability(axis: Axes, score: dict[str, Any]) -> None:
    confidence, accuracy, share = (np.array(v) for v in zip(*score["reliability"], strict=True))
    colours = [(*to_rgb(BLUE), 0.3 + 0.7 * part) for part in share / share.max()]
    axis.bar(confidence, accuracy, width=0.05, color=colours)
    axis.plot([0, 1], [0, 1], ":", color=GREY)
    axis.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence",
        ylabel="accuracy",
        title=f"reliability: expected calibration error {score['ece']:.3f} (darker: more cells)",
    )


def _abstention(axis: Axes, score: dict[str, Any]) -> None:
    shares = [float(share) for share in score["abstention"]]
    axis.plot(shares, list(score["abstention"].values()), "o-", color=RED)
    axis.set(xlabel="share of cells answered, surest first", ylabel="accuracy", title="what abstaining buys")
    axis.grid(alpha=0.25)


def comparison_figure(table: pd.DataFrame) -> Figure:
    """Accuracy with its interval against the seconds of a test, the area growing with the parameters (Fig. 8)."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for colour, row in enumerate(table.to_dict("records")):
        low, high = row["accuracy_low"], row["accuracy_high"]
        axis.scatter(
            row["test_s"], row["accuracy"], s=20 + 12 * row["parameters_m"], alpha=0.5, color=f"C{colour % 10}"
        )
        if low is not None and not np.isnan(low):
            axis.plot([row["test_s"]] * 2, [low, high], color=f"C{colour % 10}", lw=1)
        axis.annotate(
            row["variant"], (row["test_s"], row["accuracy"]), fontsize=7, xytext=(5, 4), textcoords="offset points"
        )
    axis.set(
        xlabel="seconds for the test cells", ylabel="accuracy", title="area: parameters; line: 95% interval over slides"
    )
    axis.grid(alpha=0.25)
    return figure


def masks_figure(
    crops: npt.NDArray[np.uint8], truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], columns: int = 8
) -> Figure:
    """Cells found best and worst (Figs. 9 and 10): crop, true mask, found mask, cell cut out by what was found."""
    either = (truth | predicted).sum(axis=(1, 2))
    iou = np.where(either > 0, (truth & predicted).sum(axis=(1, 2)) / np.maximum(either, 1), 1.0)
    order = np.argsort(iou, kind="stable")
    typical = order[np.linspace(len(order) // 2, len(order) - 1, columns).astype(int)]
    figure = Figure(figsize=(1.25 * columns, 10.4), layout="constrained")
    axes = figure.subplots(8, columns, squeeze=False)
    for block, (title, rows) in enumerate((("good", typical), ("hard", order[:columns]))):
        for column, row in enumerate(rows):
            cut = np.where(predicted[row][..., None], crops[row], 0)
            for line, picture in enumerate((crops[row], truth[row], predicted[row], cut)):
                axis = axes[4 * block + line][column]
                axis.imshow(picture, cmap="gray")
                axis.set_xticks([])
                axis.set_yticks([])
            axes[4 * block][column].set_title(f"IoU {iou[row]:.3f}", fontsize=7)
        for line, words in enumerate((f"{title}: crop", "true", "found", "cut out")):
            axes[4 * block + line][0].set_ylabel(words, fontsize=8)
    return figure


def attention_figure(
    crops: npt.NDArray[np.uint8], maps: npt.NDArray[np.float64], titles: list[str], columns: int = 8
) -> Figure:
    """Crops with the parts that spoke for the chosen class (Grad-CAM) laid over them."""
    rows = max(1, -(-len(crops) // columns))
    figure = Figure(figsize=(1.6 * columns, 3.5 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for k, (crop, heat, title) in enumerate(zip(crops, maps, titles, strict=True)):
        row, column = 2 * (k // columns), k % columns
        axes[row][column].imshow(crop)
        axes[row][column].set_title(title, fontsize=6)
        axes[row + 1][column].imshow(crop)
        axes[row + 1][column].imshow(heat, cmap="jet", alpha=0.45, vmin=0, vmax=1)
    return figure
