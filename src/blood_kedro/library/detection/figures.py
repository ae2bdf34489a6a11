"""Pictures of predictions and of their failures (paper 000, Figs. 2 and 3)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from blood_kedro.library.core.boxes import from_coco, intersection, iou
from blood_kedro.library.core.colours import BLUE, FOUND, IGNORED, POINTED_AT, TRUTH
from blood_kedro.library.core.limits import RIGHT_IOU
from blood_kedro.library.imaging.read import read_rgb

SHOWN_SCORE = 0.5


def predictions_figure(coco: dict[str, Any], results: list[dict[str, Any]], images: Path, columns: int = 3) -> Figure:
    """Truth (green), predictions of score >= 0.5 (red) and ignore regions (grey): images of each source in a row."""
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in coco["images"]:
        by_source[record["source"]].append(record)
    rows = sorted(by_source)
    figure, axes = _grid(len(rows), columns)
    for row, source in enumerate(rows):
        records = by_source[source]
        chosen = [records[int(k * len(records) / columns)] for k in range(min(columns, len(records)))]
        for axis, record in zip(axes[row], chosen, strict=False):
            _draw(axis, record, coco, results, images)
            axis.set_title(f"{source}: {record['image_id'].rpartition('/')[2][-32:]}", fontsize=8)
    return figure


def failures_figure(coco: dict[str, Any], results: list[dict[str, Any]], images: Path, columns: int = 3) -> Figure:
    """Top: images whose missed cells are of the rarest classes. Bottom: one predicted box over two or more cells."""
    missed, merged = _failures(coco, results)
    figure, axes = _grid(2, columns)
    records = {record["id"]: record for record in coco["images"]}
    for row, (title, cases) in enumerate((("missed", missed), ("merged", merged))):
        if not cases:
            axes[row][0].text(0.5, 0.5, f"no {title} cells", ha="center", va="center", fontsize=9)
        for axis, (image_id, box, text) in zip(axes[row], cases[:columns], strict=False):
            _draw(axis, records[image_id], coco, results, images)
            x, y, w, h = box
            axis.add_patch(Rectangle((x - 3, y - 3), w + 6, h + 6, fill=False, ec=POINTED_AT, lw=2.2))
            axis.set_title(f"{title}: {text}", fontsize=8)
    return figure


def curves_figure(metrics: dict[str, Any], columns: int = 6) -> Figure:
    """Precision over recall at IoU 0.5: one small panel for each class, the coarse classes first."""
    panels = [(f"all {name}", metrics["coarse"], name) for name in metrics["coarse"]["precision_recall"]] + [
        (name, metrics, name) for name in metrics["precision_recall"]
    ]
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(2.1 * columns, 2.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    recall = np.linspace(0, 1, 101)
    for axis, (title, view, name) in zip(axes.ravel(), panels, strict=False):
        axis.plot(recall, view["precision_recall"][name], color=BLUE, lw=1.3)
        axis.fill_between(recall, view["precision_recall"][name], color=BLUE, alpha=0.12)
        count, value = view["objects_per_class"][name], view["ap_50_per_class"][name]
        axis.set_title(f"{title}\nAP50 {value:.3f}, n = {count}", fontsize=7)
        axis.set(xlim=(0, 1), ylim=(0, 1.02))
        axis.tick_params(labelsize=6)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("recall", fontsize=8)
    figure.supylabel("precision at IoU 0.5", fontsize=8)
    return figure


def _failures(coco: dict[str, Any], results: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Missed cells, rarest class first, and predictions that cover two cells; one case per image."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    truth, predictions = defaultdict(list), defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    for annotation in coco["annotations"]:
        if not annotation["iscrowd"]:
            truth[annotation["image_id"]].append(annotation)
            counts[annotation["category_id"]] += 1
    for result in results:
        if result["score"] >= SHOWN_SCORE:
            predictions[result["image_id"]].append(result)
    missed: dict[int, tuple[Any, ...]] = {}
    merged: dict[int, tuple[Any, ...]] = {}
    for image_id, cells in truth.items():
        boxes = from_coco(cells)
        predicted = from_coco(predictions[image_id])
        best = iou(boxes, predicted).max(axis=1) if len(predicted) else np.zeros(len(boxes))
        for cell, score in zip(cells, best, strict=True):
            rarity = counts[cell["category_id"]]
            if score < RIGHT_IOU and rarity < missed.get(image_id, (np.inf,))[0]:
                missed[image_id] = (rarity, image_id, cell["bbox"], names[cell["category_id"]])
        if len(predicted):
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            covered = (intersection(predicted, boxes) / areas > 0.7).sum(axis=1)
            widest = int(covered.argmax())
            if covered[widest] >= 2:
                merged[image_id] = (
                    -int(covered[widest]),
                    image_id,
                    predictions[image_id][widest]["bbox"],
                    f"{covered[widest]} cells in one box",
                )
    return [case[1:] for case in sorted(missed.values())], [case[1:] for case in sorted(merged.values())]


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(4 * columns, 4.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    return figure, axes.tolist()


def _draw(
    axis: Axes, record: dict[str, Any], coco: dict[str, Any], results: list[dict[str, Any]], images: Path
) -> None:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    axis.imshow(read_rgb(images / record["file_name"]))
    for annotation in coco["annotations"]:
        if annotation["image_id"] == record["id"]:
            colour = IGNORED if annotation["iscrowd"] else TRUTH
            _box(axis, annotation["bbox"], colour, "" if annotation["iscrowd"] else names[annotation["category_id"]], 0)
    for result in results:
        if result["image_id"] == record["id"] and result["score"] >= SHOWN_SCORE:
            _box(
                axis, result["bbox"], FOUND, f"{names[result['category_id']]} {result['score']:.2f}", result["bbox"][3]
            )


def _box(axis: Axes, box: list[float], colour: str, text: str, text_below_px: float) -> None:
    x, y, w, h = box
    axis.add_patch(Rectangle((x, y), w, h, fill=False, ec=colour, lw=0.9))
    if text:
        axis.text(x, y + text_below_px, text, color=colour, fontsize=4.5, va="top" if text_below_px else "bottom")
