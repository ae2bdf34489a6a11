"""Boxes for labels that have none, and regions of cells that nobody labelled.

`paper` is Algorithm 1, lines 24 to 26 (a class-sized square, jittered where one label speaks for the whole
image). `fitted` measures them from the pixels, for the reason that docs/facts/data.md#pbc-boxes gives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.imaging.central_cell import central_cell_box
from blood_kedro.library.imaging.segmentation import Instance, RgbImage, foreground, instances, split_instances
from blood_kedro.library.standardization.options import SourceBoxes

UNLABELLED = "(unlabelled)"

# A fitted box must be within these factors of the class size, else the class size is taken.
PLAUSIBLE = (0.55, 1.7)
# A segmented cell of which labelled boxes cover less than this share counts as unlabelled.
LABELLED_SHARE = 0.5
# Smaller pieces (share of a usual cell's area) are slivers and debris rather than cells.
MIN_CELL_SHARE = 0.3


@dataclass(frozen=True)
class LabelBox:
    """One label with its box in px of the original image; the fields are those of the annotation tables."""

    annotation_id: str
    label_raw: str
    label: str
    box_xyxy_px: tuple[float, float, float, float]
    box_origin: str
    ignore: bool = False


def paper_boxes(
    labels: list[LabelBox], settings: SourceBoxes, jitter_px: float, rng: np.random.Generator
) -> list[LabelBox]:
    """Class-sized squares: on the point, or around the image centre with a jitter of up to `jitter_px` each way.

    `jitter_px` is in px of the original image here (canvas px divided by the scale).
    """
    boxes = []
    for label in labels:
        if label.box_origin not in {"point", "image"}:
            boxes.append(label)
            continue
        dx, dy = rng.uniform(-jitter_px, jitter_px, 2) if label.box_origin == "image" else (0.0, 0.0)
        boxes.append(_class_sized(label, settings, (float(dx), float(dy))))
    return boxes


def fitted_boxes(
    labels: list[LabelBox], rgb: RgbImage, settings: SourceBoxes, image_id: str | None = None
) -> list[LabelBox]:
    """Boxes measured from the pixels, followed by ignore regions for the cells that carry no label.

    With `image_id`, cells are found in an image without any label, too.
    """
    whole = [label for label in labels if label.box_origin == "image"]
    points = [label for label in labels if label.box_origin == "point"]
    seeds = np.array([_centre(label) for label in points], np.float64).reshape(-1, 2)
    cells: list[Instance] = []
    if settings.cell_px is not None:
        cells = instances(split_instances(foreground(rgb, settings.cell_px), settings.cell_px, seeds))
    by_label = {cell.label: cell for cell in cells}
    from_points = {
        label.annotation_id: _fit(label, by_label[n].box_xyxy_px if n in by_label else None, settings)
        for n, label in enumerate(points, start=1)
    }
    from_image = {
        label.annotation_id: _fit(label, central_cell_box(rgb, settings.class_size_px[label.label_raw]), settings)
        for label in whole
    }
    fitted = {**from_points, **from_image}
    boxes = [fitted.get(label.annotation_id, label) for label in labels]
    unlabelled = [cell for cell in cells if cell.label > len(points)]
    name = labels[0].annotation_id.rpartition("#")[0] if labels else image_id
    return boxes + _ignore_regions(boxes, unlabelled, settings, name)


def _ignore_regions(
    labels: list[LabelBox], cells: list[Instance], settings: SourceBoxes, image_id: str | None
) -> list[LabelBox]:
    if settings.cell_px is None or not cells or image_id is None:
        return []
    labelled = np.array([label.box_xyxy_px for label in labels], np.float64).reshape(-1, 4)
    candidates = np.array([cell.box_xyxy_px for cell in cells], np.float64)
    usual_area = np.pi / 4 * settings.cell_px**2
    free = boxlib.covered_share(candidates, labelled) < LABELLED_SHARE
    return [
        LabelBox(f"{image_id}#unlabelled{n}", UNLABELLED, "rbc", cell.box_xyxy_px, "fitted", ignore=True)
        for n, (cell, is_free) in enumerate(zip(cells, free, strict=True), start=1)
        if is_free and cell.area_px2 > MIN_CELL_SHARE * usual_area
    ]


def _fit(label: LabelBox, box: tuple[float, float, float, float] | None, settings: SourceBoxes) -> LabelBox:
    size = settings.class_size_px[label.label_raw]
    if box is None or not all(
        PLAUSIBLE[0] * size < side < PLAUSIBLE[1] * size for side in (box[2] - box[0], box[3] - box[1])
    ):
        return _class_sized(label, settings, (0.0, 0.0))
    return replace(label, box_xyxy_px=box, box_origin="fitted")


def _class_sized(label: LabelBox, settings: SourceBoxes, offset_px: tuple[float, float]) -> LabelBox:
    half = settings.class_size_px[label.label_raw] / 2
    x, y = _centre(label) + np.asarray(offset_px)
    return replace(label, box_xyxy_px=(float(x - half), float(y - half), float(x + half), float(y + half)))


def _centre(label: LabelBox) -> npt.NDArray[np.float64]:
    x_min, y_min, x_max, y_max = label.box_xyxy_px
    return np.array([(x_min + x_max) / 2, (y_min + y_max) / 2])
