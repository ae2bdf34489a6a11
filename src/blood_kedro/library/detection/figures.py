"""Pictures of predictions and of their failures (Sahay 2025, Figs. 2 and 3)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from blood_kedro.library.core.boxes import Boxes, area, from_coco, intersection, iou
from blood_kedro.library.core.colours import BLUE, FOUND, IGNORED, POINTED_AT, TRUTH
from blood_kedro.library.core.limits import LEAST_CELLS_SHOWN, RIGHT_IOU
from blood_kedro.library.imaging.read import read_rgb

Window = tuple[float, float, float, float]  # left, top, right, bottom, px

SHOWN_SCORE = 0.5
# Sides of what is shown of an image, in widths of its cells: cells and their names can be read at the width of a page.
_CROWD_WIDTHS, _CASE_WIDTHS = 7, 5
# Of what a window points at, it is at least so many times as wide.
_AROUND_CASE = 2.5


def predictions_figure(coco: dict[str, Any], results: list[dict[str, Any]], images: Path, columns: int = 3) -> Figure:
    """Truth (green), predictions of score >= 0.5 (red) and ignore regions (grey): images of each source in a row.

    Of each image its most crowded part is shown, at a scale at which single cells can be judged.
    """
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in coco["images"]:
        by_source[record["source"]].append(record)
    columns = max(1, min(columns, max((len(records) for records in by_source.values()), default=1)))
    figure, axes = _grid(len(by_source), columns)
    boxes = _boxes_by_image(coco)
    for row, (source, records) in enumerate(sorted(by_source.items())):
        number = min(columns, len(records))
        for axis, record in zip(axes[row], (records[k * len(records) // number] for k in range(number)), strict=False):
            picture = read_rgb(images / record["file_name"])
            _draw(axis, picture, record, coco, results, _crowded(boxes[record["id"]], picture.shape[:2]))
            axis.set_title(f"{source}: {record['image_id'].rpartition('/')[2][-32:]}", fontsize=8)
    return figure


def failures_figure(coco: dict[str, Any], results: list[dict[str, Any]], images: Path, columns: int = 3) -> Figure:
    """Top: missed cells of the rarest classes, one of each image. Bottom: one predicted box over two or more cells."""
    missed, merged = _failures(coco, results)
    rows = [(title, cases[:columns]) for title, cases in (("missed", missed), ("merged", merged)) if cases]
    figure, axes = _grid(max(1, len(rows)), max([1, *(len(cases) for _, cases in rows)]))
    if not rows:
        text = "no cell was missed, no box covers two cells"
        axes[0][0].text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
    records, boxes = {record["id"]: record for record in coco["images"]}, _boxes_by_image(coco)
    for row, (title, cases) in enumerate(rows):
        for axis, (image_id, box, text) in zip(axes[row], cases, strict=False):
            picture = read_rgb(images / records[image_id]["file_name"])
            x, y, w, h = box
            side = max(_CASE_WIDTHS * _cell_width(boxes[image_id]), _AROUND_CASE * max(w, h))
            window = _window((x + w / 2, y + h / 2), side, picture.shape[:2])
            _draw(axis, picture, records[image_id], coco, results, window)
            axis.add_patch(Rectangle((x - 3, y - 3), w + 6, h + 6, fill=False, ec=POINTED_AT, lw=2.2))
            axis.set_title(f"{title}: {text}", fontsize=8)
    return figure


def curves_figure(metrics: dict[str, Any], columns: int = 6) -> Figure:
    """Precision over recall at IoU 0.5: one small panel for each class, the coarse classes first.

    Classes of fewer than `LEAST_CELLS_SHOWN` cells have none, as chance alone makes their curves; they are named below.
    """
    classes = [(f"all {name}", metrics["coarse"], name) for name in metrics["coarse"]["precision_recall"]] + [
        (name, metrics, name) for name in metrics["precision_recall"]
    ]
    panels = [each for each in classes if each[1]["objects_per_class"][each[2]] >= LEAST_CELLS_SHOWN]
    few = [title for title, view, name in classes if view["objects_per_class"][name] < LEAST_CELLS_SHOWN]
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
    left_out = f"\nfewer than {LEAST_CELLS_SHOWN} cells: {', '.join(few)}" if few else ""
    figure.supxlabel(f"recall{fill(left_out, 150, replace_whitespace=False)}", fontsize=8)
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


def _boxes_by_image(coco: dict[str, Any]) -> dict[int, Boxes]:
    """Labelled boxes of each image, none where it has none."""
    rows: dict[int, list[dict[str, Any]]] = {record["id"]: [] for record in coco["images"]}
    for annotation in coco["annotations"]:
        if not annotation["iscrowd"]:
            rows[annotation["image_id"]].append(annotation)
    return {image_id: from_coco(each) for image_id, each in rows.items()}


def _cell_width(boxes: Boxes) -> float:
    """Of the middle one of its cells, px; 0 where there is none."""
    return float(np.median(np.sqrt(area(boxes)))) if len(boxes) else 0.0


def _crowded(boxes: Boxes, shape: tuple[int, int]) -> Window:
    """Around that cell which has most others near it; of an image without cells, all."""
    if not len(boxes):
        return 0.0, 0.0, float(shape[1]), float(shape[0])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = _CROWD_WIDTHS * _cell_width(boxes)
    near = (np.abs(centres[:, None] - centres[None]) < side / 2).all(axis=2).sum(axis=1)
    return _window(tuple(centres[near.argmax()]), side, shape)


def _window(centre: tuple[float, float], side: float, shape: tuple[int, int]) -> Window:
    """A square of an image around a point, moved inwards where it would leave it."""
    low = []
    for middle, length in zip(centre, shape[::-1], strict=True):
        low.append(min(max(middle - side / 2, 0.0), max(length - side, 0.0)))
    return low[0], low[1], min(low[0] + side, shape[1]), min(low[1] + side, shape[0])


def _draw(
    axis: Axes,
    picture: npt.NDArray[np.uint8],
    record: dict[str, Any],
    coco: dict[str, Any],
    results: list[dict[str, Any]],
    window: Window,
) -> None:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    axis.imshow(picture)
    left, top, right, bottom = window
    axis.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
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
    axis.add_patch(Rectangle((x, y), w, h, fill=False, ec=colour, lw=1.1))
    if text:
        side = "top" if text_below_px else "bottom"
        axis.text(x, y + text_below_px, text.replace("_", " "), color=colour, fontsize=6.5, va=side, clip_on=True)
