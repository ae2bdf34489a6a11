"""Pictures of predictions and of their failures (paper 000, Figs. 2 and 3)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from blood_kedro.library.core.boxes import intersection, iou
from blood_kedro.library.imaging.read import read_rgb

TRUTH, FOUND, IGNORED = "#1a9850", "#d7191c", "#bdbdbd"
SHOWN_SCORE = 0.5
_MATCH_IOU = 0.5


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
            axis.add_patch(Rectangle((x - 3, y - 3), w + 6, h + 6, fill=False, ec="#ffd700", lw=2.2))
            axis.set_title(f"{title}: {text}", fontsize=8)
    return figure


def _failures(coco: dict[str, Any], results: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Missed cells, rarest class first, and predictions that cover two cells; one case per image."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    truth, found = defaultdict(list), defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    for annotation in coco["annotations"]:
        if not annotation["iscrowd"]:
            truth[annotation["image_id"]].append(annotation)
            counts[annotation["category_id"]] += 1
    for result in results:
        if result["score"] >= SHOWN_SCORE:
            found[result["image_id"]].append(result)
    missed: dict[int, tuple[Any, ...]] = {}
    merged: dict[int, tuple[Any, ...]] = {}
    for image_id, cells in truth.items():
        boxes = _xyxy([cell["bbox"] for cell in cells])
        predicted = _xyxy([result["bbox"] for result in found[image_id]])
        best = iou(boxes, predicted).max(axis=1) if len(predicted) else np.zeros(len(boxes))
        for cell, score in zip(cells, best, strict=True):
            rarity = counts[cell["category_id"]]
            if score < _MATCH_IOU and rarity < missed.get(image_id, (np.inf,))[0]:
                missed[image_id] = (rarity, image_id, cell["bbox"], names[cell["category_id"]])
        if len(predicted):
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            covered = (intersection(predicted, boxes) / areas > 0.7).sum(axis=1)
            widest = int(covered.argmax())
            if covered[widest] >= 2:
                merged[image_id] = (
                    -int(covered[widest]), image_id, found[image_id][widest]["bbox"],
                    f"{covered[widest]} cells in one box",
                )  # fmt: skip
    return [case[1:] for case in sorted(missed.values())], [case[1:] for case in sorted(merged.values())]


def _xyxy(boxes: list[list[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(boxes, np.float64).reshape(-1, 4).copy()
    array[:, 2:] += array[:, :2]
    return array


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
