"""What a user gets for images of their own: overlays, a table per cell, a COCO json, one page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from blood_kedro.library.core import coco
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.colours import CELL_TYPES, TEXT
from blood_kedro.library.core.files import link_folder, replaced_folder
from blood_kedro.library.core.taxonomy import CLASS_IDS, COARSE, coarse

RgbImage = npt.NDArray[np.uint8]
MOST_PX = 1600
CELLS, COUNTS, COCO, PAGE, OVERLAYS = "cells.csv", "counts.csv", "coco.json", "index.html", "overlays"


@dataclass(frozen=True)
class Picture:
    """One image, made small enough to be shown: `rgb (h, w, 3) uint8`, and px of that for one of the image.

    `file` is the name of its file; empty where it is of none, as a grid of tiles is.
    """

    name: str
    rgb: RgbImage
    scale: float
    file: str = ""


def shown(name: str, pixels: RgbImage, file: str = "", most_px: int = MOST_PX) -> Picture:
    """An image of a file with sides of at most `most_px`; it may be mapped: only every so many rows are read."""
    height, width = pixels.shape[:2]
    step = max(1, max(height, width) // (2 * most_px))
    part = np.ascontiguousarray(pixels[::step, ::step])
    scale = min(1.0, most_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Picture(name, np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8), scale, file)


def overlay(picture: Picture, cells: pd.DataFrame, *, named: bool = True) -> RgbImage:
    """The picture with the box of each cell in the colour of its kind.

    Fine classes and types of white cells are written beside their boxes; shapes of red cells would hide the cells.
    """
    canvas = picture.rgb.copy()
    width = 2 if max(canvas.shape[:2]) > 800 else 1
    for row in cells.to_dict("records"):
        x0, y0, x1, y1 = (round(float(row[name]) * picture.scale) for name in BOX_COLUMNS)
        colour = CELL_TYPES[coarse(str(row["label"]))]
        cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, width)
        name = row.get("type", row["label"]) if row["label"] == "wbc" else row["label"]
        if named and name not in COARSE and x1 - x0 > 24:
            text = str(name).replace("_", " ")
            cv2.putText(canvas, text, (x0, max(10, y0 - 3)), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return canvas


def coco_of(cells: pd.DataFrame, counts: pd.DataFrame, files: Mapping[str, str]) -> dict[str, Any]:
    """Found cells as COCO json: what annotation tools and pycocotools read, with the score of each cell.

    Args:
        cells: `image, label, score` and the box in px of the image.
        counts: `image, width_px, height_px`.
        files: name of the file of each image.
    """
    numbers = {str(name): k for k, name in enumerate(counts["image"], start=1)}
    labels = sorted(set(cells["label"]), key=CLASS_IDS.__getitem__)
    category = coco.numbered_from_one(labels)
    annotations = [
        coco.annotation(
            k,
            numbers[str(row["image"])],
            category[str(row["label"])],
            [float(row[name]) for name in BOX_COLUMNS],
            score=float(row["score"]),
        )
        for k, row in enumerate(cells.to_dict("records"), start=1)
    ]
    return {
        "images": [
            {
                "id": numbers[str(row["image"])],
                "file_name": files[str(row["image"])],
                "width": int(row["width_px"]),
                "height": int(row["height_px"]),
            }
            for row in counts.to_dict("records")
        ],
        "annotations": annotations,
        "categories": coco.categories(category),
    }


def write_own_report(
    folder: Path,
    title: str,
    pictures: Iterable[Picture],
    cells: pd.DataFrame,
    counts: pd.DataFrame,
    notes: list[str],
    rejects: pd.DataFrame,
    linked: Mapping[str, Path] = {},
) -> Path:
    """Write overlays, `cells.csv`, `counts.csv`, `coco.json` and `index.html` into a folder, in place of what it held.

    Args:
        folder: becomes these files and nothing else.
        title: of the page.
        pictures: one for each row of `counts`, in any order; taken one at a time.
        cells: `image, label, score` and the box in px of the image, and whatever else is known.
        counts: `image, width_px, height_px, rbc, wbc, platelet`, and whatever else is to be shown.
        notes: sentences above the table.
        rejects: what could not be used.
        linked: folders of files that stand elsewhere and belong here, too, by name; one that is not there is left out.
    """
    with replaced_folder(folder) as part:
        (part / OVERLAYS).mkdir()
        images, files = [], {}
        by_image = dict(tuple(cells.groupby("image")))
        for picture in pictures:
            drawn = overlay(picture, by_image.get(picture.name, cells.iloc[:0]))
            encoded, jpeg = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
            if not encoded:
                raise OSError(f"the overlay of {picture.name} cannot be encoded")
            (part / OVERLAYS / f"{picture.name}.jpg").write_bytes(jpeg.tobytes())
            images.append(picture.name)
            files[picture.name] = picture.file or picture.name
        for name, elsewhere in linked.items():
            link_folder(elsewhere, part / name)
        cells.to_csv(part / CELLS, index=False)
        counts.to_csv(part / COUNTS, index=False)
        (part / COCO).write_text(json.dumps(coco_of(cells, counts, files)), encoding="utf-8")
        environment = Environment(
            loader=PackageLoader("blood_kedro.library.reporting"), undefined=StrictUndefined, autoescape=True
        )
        page = environment.get_template("own_images.html.j2").render(
            title=title,
            images=images,
            counts=counts.to_dict("records"),
            columns=list(counts.columns),
            notes=notes,
            rejects=rejects.to_dict("records"),
            cells=len(cells),
            colours=TEXT,
            classes=_classes(cells),
        )
        (part / PAGE).write_text(page, encoding="utf-8")
    return folder


def _classes(cells: pd.DataFrame) -> list[tuple[str, int]]:
    """How many cells have each class, and each type of it where types are known, most frequent first."""
    if "type" not in cells:
        return [(str(label), int(number)) for label, number in cells["label"].value_counts().items()]
    pairs = cells.groupby(["label", "type"], sort=False).size().sort_values(ascending=False)
    table = pairs.reset_index(name="cells")
    return [
        (row["label"] if row["label"] == row["type"] else f"{row['label']}: {row['type']}", int(row["cells"]))
        for row in table.to_dict("records")
    ]
