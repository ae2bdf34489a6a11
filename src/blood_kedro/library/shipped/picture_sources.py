"""Labelled pictures of each source, as they lie on the disk, for the shipped cell detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blood_kedro.library.cells.ojaghi import boxes_of_tile, tiles
from blood_kedro.library.core.boxes import Boxes, area, iou
from blood_kedro.library.core.limits import DRAWN_TWICE_IOU
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.shipped.cell_options import CLASSES, PictureOptions
from blood_kedro.library.sources.bccd import Bccd
from blood_kedro.library.sources.chula import Chula
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.yolo import YoloFolder
from blood_kedro.library.standardization.options import SourceBoxes

_ALL = (True, True, True)
# Pictures judged by the incomplete labels of their own source are a laboratory of their own.
OWN = "_own"


@dataclass(frozen=True)
class FoundPicture:
    """A picture as its source has it, boxes in px of the file."""

    path: Path
    source: str
    laboratory: str
    boxes: Boxes
    labels: npt.NDArray[np.int64]
    ignore: Boxes
    known: tuple[bool, bool, bool]
    judged: bool = True
    official_test: bool = False
    scale_of: str = ""  # pictures that share one magnification


def txl_pictures(folder: Path, options: PictureOptions, rejects: RejectLog) -> Iterator[FoundPicture]:
    """TXL-PBC: boxes of nearly every cell; the size of a picture tells its laboratory."""
    names = {"WBC": "wbc", "RBC": "rbc", "Platelets": "platelet", "PC": "platelet"}
    adapter = YoloFolder(SourceOptions(name="txl_pbc", adapter="yolo", labels=names))
    for image in adapter.scan(folder, rejects):
        width, height = size_of(folder / image.path)
        size = f"{width}x{height}"
        laboratory = options.txl_laboratories.get(size)
        if laboratory is None:
            rejects.add(image.path, "image", "dropped", f"no laboratory is known for pictures of {size} px")
            continue
        boxes = np.array([label.box_xyxy_px for label in image.labels], np.float64).reshape(-1, 4)
        labels = np.array([CLASSES.index(names[label.label_raw]) for label in image.labels], np.int64)
        boxes, labels = _without_twins(boxes, labels)
        judged = size not in options.squeezed
        yield FoundPicture(
            folder / image.path, "txl_pbc", laboratory, boxes, labels, np.zeros((0, 4)), _ALL, judged, scale_of=size
        )


def _without_twins(boxes: Boxes, labels: npt.NDArray[np.int64]) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """Without the second of two boxes of one cell (IoU above 0.9: 58 pairs, docs/facts/data.md#txl-pbc)."""
    twin = np.triu(iou(boxes, boxes) > DRAWN_TWICE_IOU, k=1).any(axis=0)
    return boxes[~twin], labels[~twin]


def bccd_pictures(folder: Path, _options: PictureOptions, rejects: RejectLog) -> Iterator[FoundPicture]:
    """Pictures of the official test list, judged by their own labels; never learnt from, and nothing near them is."""
    for image in Bccd().scan(folder, rejects):
        if image.official_split != "test":
            continue
        boxes = np.array([label.box_xyxy_px for label in image.labels], np.float64).reshape(-1, 4)
        labels = np.array([CLASSES.index(coarse(Bccd.labels[label.label_raw])) for label in image.labels], np.int64)
        sound = area(boxes) > 0
        yield FoundPicture(
            folder / image.path,
            "bccd",
            f"bccd{OWN}",
            boxes[sound],
            labels[sound],
            np.zeros((0, 4)),
            _ALL,
            official_test=True,
            scale_of="640x480",
        )


def chula_pictures(folder: Path, options: PictureOptions, rejects: RejectLog) -> Iterator[FoundPicture]:
    """Chula: fields with many labels; boxes are measured around points, cells without a label count for nothing."""
    from blood_kedro.library.standardization.measured import LabelBox, fitted_boxes

    settings = SourceBoxes(cell_px=options.chula_cell_px, class_size_px=options.chula_class_size_px)
    for image in Chula().scan(folder, rejects):
        if len(image.labels) < options.chula_min_points:
            continue
        points = [
            LabelBox(f"{image.path.stem}#{label.row}", label.label_raw, "rbc", label.box_xyxy_px, "point")
            for label in image.labels
            if label.box_xyxy_px is not None
        ]
        fitted = fitted_boxes(points, read_rgb(folder / image.path), settings)
        boxes = np.array([each.box_xyxy_px for each in fitted], np.float64).reshape(-1, 4)
        free = np.array([each.ignore for each in fitted], np.bool_)
        complete = free.mean() <= options.chula_complete
        yield FoundPicture(
            folder / image.path,
            "chula",
            "chula",
            boxes[~free],
            np.zeros((~free).sum(), np.int64),
            boxes[free],
            (True, False, False),
            judged=bool(complete),
            scale_of="chula",
        )


def ojaghi_pictures(folder: Path, _options: PictureOptions, rejects: RejectLog) -> Iterator[FoundPicture]:
    """Ojaghi: tiles with masks; red cells alone are labelled."""
    for path in tiles(folder):
        boxes, ignore = boxes_of_tile(folder, path, rejects)
        labels = np.zeros(len(boxes), np.int64)
        yield FoundPicture(path, "ojaghi", "ojaghi", boxes, labels, ignore, (True, False, False), scale_of="ojaghi")


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, px."""
    height, width = read_rgb(path).shape[:2]
    return width, height
