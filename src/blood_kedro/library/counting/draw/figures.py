"""Figures 5 and 6 of Rao et al. 2024, counts beside a reference, and what a classifier of cutouts gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from blood_kedro.library.core.colours import BLUE, CLUMP, GREY, MASKS, PALE, RED, WRONG
from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.counting.count.rules import kde_peaks
from blood_kedro.library.counting.name.cell_types import CELL_TYPES
from blood_kedro.library.counting.options import KindClassifier
from blood_kedro.library.counting.pieces import Piece

RgbImage = npt.NDArray[np.uint8]
# So much of a smear is shown, px in both directions.
MOST_PX = 1600


def smear_figure(corner: RgbImage, counts: dict[str, Any], cells: pd.DataFrame, masks: Sequence[Piece]) -> Figure:
    """Outlines over as much of a smear as a page shows (Fig. 5); areas with their density and thresholds (Fig. 6).

    Args:
        corner: `(h, w, 3) uint8`, the smear from its upper left corner on; at most `MOST_PX` of it.
        counts: its row in the table of counts.
        cells: one row per cell.
        masks: of each row.
    """
    canvas = corner.copy()
    height, width = canvas.shape[:2]
    for mask, label, number in zip(masks, cells["label"], cells["counted"], strict=True):
        if mask.left >= width or mask.top >= height:
            continue
        outlines = cv2.findContours(
            mask.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(mask.left, mask.top)
        )[0]
        cv2.drawContours(canvas, outlines, -1, MASKS[label] if number == 1 else CLUMP, 1)
    components = cells[cells["label"] == "rbc"].groupby("clump")["area_px2"].sum().to_numpy(np.float64)
    rule = kde_peaks(components)
    figure = Figure(figsize=(10.5, 10.5), layout="constrained")
    shown, areas = figure.subplots(2, 1, height_ratios=(3.2, 1))
    shown.imshow(canvas)
    shown.axis("off")
    shown.set_title(
        f"{counts['smear']}: red cells {counts['rbc']:,} (red; blue: counted as several), "
        f"white cells {counts['wbc']:,} (green), platelets {counts['platelet']:,} (violet)"
    )
    single = counts["single_cell_area_px2"]
    if len(components) > 1:
        top = min(float(components.max()), 6 * single if np.isfinite(single) else np.inf)
        areas.hist(components, bins=np.linspace(0, top, 80).tolist(), density=True, color=PALE)
        inside = rule.grid <= top
        areas.plot(rule.grid[inside], rule.density[inside], color=BLUE, label="density")
        for k, threshold in enumerate(t for t in rule.thresholds if t <= top):
            areas.axvline(threshold, color=RED, ls="--", label="thresholds" if k == 0 else None)
        areas.axvline(single, color="k", lw=0.8, label="single cell")
        areas.legend()
    areas.set(xlabel="area of red cells that touch each other, px²", yticks=[])
    return figure


def reference_figure(counts: pd.DataFrame) -> Figure:
    """Counted against labelled cells of each image, by kind."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    for axis, kind in zip(figure.subplots(1, 3), CELL_TYPES, strict=True):
        known, counted = counts[f"reference_{kind}"], counts[kind]
        top = max(1, float(known.max()), float(counted.max()))
        axis.plot([0, top], [0, top], ":", color=GREY)
        axis.scatter(known, counted, s=10, alpha=0.5, color=BLUE)
        axis.set(xlabel="labelled", ylabel="counted", title=f"{kind.upper()} per image")
    return figure


def kinds_figure(
    cutouts: Sequence[CropSet], answers: pd.DataFrame, metrics: dict[str, Any], options: KindClassifier
) -> Figure:
    """Confusion of a classifier of cutouts; of each kind, the test cutouts that it is surest of, right and wrong."""
    kinds = list(options.kinds)
    place = {cell: (k, row) for k, cells in enumerate(cutouts) for row, cell in enumerate(cells.table["cell_id"])}
    p = answers[[f"p_{kind}" for kind in kinds]].to_numpy()
    shown = answers.assign(found=np.array(kinds, object)[p.argmax(axis=1)], sure=p.max(axis=1))
    figure = Figure(figsize=(15, 0.8 + 1.3 * len(kinds)), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1, 3.2)))
    axis = left.subplots()
    matrix = np.array(metrics["confusion"])
    axis.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*matrix.shape):
        axis.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color="white" if i == j else "black")
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set(xlabel="found", ylabel="labelled", title=f"{options.name}: {metrics['test_cutouts']:,} test cutouts")
    for kind, row in zip(kinds, np.atleast_2d(right.subplots(len(kinds), 10)), strict=True):
        mine = shown[shown["label"] == kind].sort_values("sure", ascending=False)
        wrong, good = mine[mine["found"] != kind].head(4), mine[mine["found"] == kind].head(6)
        for cell in row:
            cell.axis("off")
        for cell, answer in zip(row, [*good.itertuples(), *wrong.itertuples()], strict=False):
            k, number = place[answer.cell_id]
            cell.imshow(np.asarray(cutouts[k].crops[number]))
            cell.set_title(
                f"{answer.found} {answer.sure:.2f}", fontsize=8, color="k" if answer.found == kind else WRONG
            )
        row[0].text(-0.1, 0.5, kind, transform=row[0].transAxes, rotation=90, va="center", ha="right")
    return figure
