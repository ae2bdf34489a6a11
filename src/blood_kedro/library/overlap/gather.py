"""Red cells of a source: one crop and one row of measures per box, images in parallel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import SPLITS
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.overlap.options import CropOptions
from blood_kedro.library.overlap.regions import Boxes, SegmentedField, measure_regions, otsu_area, segment_field
from blood_kedro.library.overlap.windows import box_crop, cut_window

# A box with a shorter side holds no cell that could be looked at.
_MIN_SIDE_PX = 3.0
_Row = dict[str, object]


@dataclass(frozen=True)
class Located:
    """Red cells that a localizer found in one image: boxes `(N, 4)` px, and of each its name and class."""

    path: str
    facts: dict[str, object]
    boxes: Boxes
    names: Sequence[str]
    labels: Sequence[str]


def annotated(index: pd.DataFrame, annotations: pd.DataFrame, groups: Groups, cell_px: float) -> list[Located]:
    """The source's own boxes of red cells, as a localizer; images without any are left out.

    A source that gives a point for each cell has squares of `cell_px` around its points.
    """
    rows = annotations[annotations["label"].map(coarse).eq("rbc") & ~annotations["ignore"].astype(bool)].copy()
    points = rows["box_origin"].eq("point")
    for low, high in (("x_min_px", "x_max_px"), ("y_min_px", "y_max_px")):
        middle = (rows[low] + rows[high]) / 2
        rows[low] = rows[low].where(~points, middle - cell_px / 2)
        rows[high] = rows[high].where(~points, middle + cell_px / 2)
    by_image = dict(tuple(rows.groupby("image_id")))
    images = []
    for image in records(index):
        mine = by_image.get(str(image["image_id"]))
        if mine is not None:
            boxes, names = mine[BOX_COLUMNS].to_numpy(np.float64), list(mine["annotation_id"])
            images.append(located(image, boxes, groups, names, list(mine["label"])))
    return images


def located(
    image: dict[str, Any], boxes: Boxes, groups: Groups, names: list[str] | None = None, labels: list[str] | None = None
) -> Located:
    """Boxes of one row of an image index; a detector's have no names of their own and are red cells without a shape."""
    name = str(image["image_id"])
    facts = {"source": image["source"], "image_id": name, **groups.facts(name)}
    names = [f"{name}@{k + 1}" for k in range(len(boxes))] if names is None else names
    return Located(str(image["path"]), facts, boxes, names, ["rbc"] * len(boxes) if labels is None else labels)


def cut_red_cells(
    folder: Path, images: Sequence[Located], options: CropOptions, rejects: RejectLog, rows: list[_Row]
) -> Iterator[Crop]:
    """Crops of all boxes, one at a time; measures are appended to `rows` in the same order.

    Args:
        folder: of the images.
        images: with the boxes of a localizer.
        options: settings.
        rejects: collects boxes and images that cannot be used.
        rows: gets what schema `OverlapCrops` wants.
    """
    work = _Image(folder, options)
    for cells, measures, dropped in in_processes(work, images, options.workers or -1, ordered=True):
        for path, reason, row in dropped:
            rejects.add(path, "cell", "dropped", reason, row)
        rows.extend(measures)
        yield from cells


@dataclass(frozen=True)
class _Image:
    folder: Path
    options: CropOptions

    def __call__(self, image: Located) -> tuple[list[Crop], list[_Row], list[tuple[str, str, int | None]]]:
        try:
            rgb = read_rgb(self.folder / image.path)
        except BadInputError as error:
            return [], [], [(image.path, error.what, None)]
        height, width = rgb.shape[:2]
        boxes = np.clip(image.boxes, 0, [width, height, width, height])
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        field = segment_field(rgb, self.options.cell_px)
        points = np.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], axis=1) / 2
        true_cells = None
        if self.options.truth == "points":
            unlabelled, true_cells = _cells_by_points(field, points)
            if unlabelled > self.options.max_unlabelled_share:
                reason = f"{100 * unlabelled:.0f}% of the cells have no label: the truth of overlap is not known"
                return [], [], [(image.path, reason, None)]
        cells: list[Crop] = []
        rows: list[_Row] = []
        dropped: list[tuple[str, str, int | None]] = []
        for k, region in enumerate(measure_regions(field, boxes)):
            if sides[k] < _MIN_SIDE_PX:
                dropped.append((image.path, f"box of {sides[k]:.1f} px inside the image", k + 1))
                continue
            crop, mask = cut_window(rgb, field, region.component, boxes[k], self.options)
            shown = mask if mask.any() else None
            cells.append(Crop(crop, shown, _facts(image, k, points[k], seen=shown is not None)))
            rows.append(
                {
                    "cell_id": image.names[k],
                    **{name: image.facts[name] for name in ("image_id", "group_id", "part")},
                    **dict(zip(BOX_COLUMNS, boxes[k].tolist(), strict=True)),
                    **asdict(region),
                    "otsu_area": otsu_area(box_crop(rgb, boxes[k], self.options.side_px)),
                    "true_cells": np.nan if true_cells is None else float(true_cells[k]),
                }
            )
        return cells, rows, dropped


def _facts(image: Located, k: int, middle: npt.NDArray[np.float64], *, seen: bool) -> dict[str, object]:
    """Columns of `CropTable` for one box."""
    return {
        **image.facts,
        "cell_id": image.names[k],
        "label_raw": image.labels[k],
        "label": image.labels[k],
        "shape": None,
        "x_px": float(middle[0]),
        "y_px": float(middle[1]),
        "slide": None,
        "scanner": None,
        "mask_origin": "segmented" if seen else None,
    }


def _cells_by_points(field: SegmentedField, points: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    """Share of whole cells without a labelled point, and how many labelled points the component of each point holds.

    A point beside any component holds NaN: segmentation missed its cell.
    """
    height, width = field.components.shape
    columns = np.clip(np.rint(points[:, 0] * field.scale).astype(int), 0, width - 1)
    rows = np.clip(np.rint(points[:, 1] * field.scale).astype(int), 0, height - 1)
    component, cell = field.components[rows, columns], field.instances[rows, columns]
    counts = np.bincount(component, minlength=field.components.max() + 1)
    areas = np.bincount(field.instances.ravel())
    areas[0] = 0
    edge = np.concatenate([field.instances[0], field.instances[-1], field.instances[:, 0], field.instances[:, -1]])
    areas[np.unique(edge)] = 0
    whole = np.flatnonzero(areas > 0.4 * field.single_area_px2)
    unlabelled = float(np.mean(~np.isin(whole, cell))) if len(whole) else 0.0
    return unlabelled, np.where(component > 0, counts[component], np.nan)


def with_parts(table: pd.DataFrame, learnt: Set[str], options: CropOptions) -> pd.DataFrame:
    """Crops of which none is judged whose image, or one of its group, the localizer learnt from.

    Such test crops become training crops: the classifier may learn from boxes that are better than those of new
    images, but is not tested on them.

    Args:
        table: of schema `OverlapCrops`, `part` as the table of groups has it.
        learnt: groups that the localizer learnt from.
        options: of the crops.

    Raises:
        ConfigurationError: there is no crop, or none in a part.
    """
    if not len(table):
        raise ConfigurationError(
            "no red cell to look at",
            where=f"overlap.crops.{options.name}",
            got="0 boxes",
            remedy="look into the rejects of this source; give images, or raise max_unlabelled_share",
        )
    seen = (table["part"] == "test") & table["group_id"].isin(learnt)
    table = table.assign(part=table["part"].where(~seen, "train"))
    empty = [name for name in SPLITS if not (table["part"] == name).any()]
    if empty:
        raise ConfigurationError(
            f"no crop in part {', '.join(empty)}",
            where=f"overlap.crops.{options.name}",
            got=f"{table['group_id'].nunique()} groups of images, {int(seen.sum())} test crops whose images the "
            "localizer learnt from",
            remedy="give more images, other shares (merging.parts), or a detector that left images of this source out",
        )
    return table
