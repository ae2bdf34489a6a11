"""Copy-paste for rare classes: cutting the cells out of the training images."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.detection.copy_paste import labels_of
from blood_kedro.library.detection.options import CopyPaste
from blood_kedro.library.imaging.cut_out import cut_out
from blood_kedro.library.imaging.paste import field_colour, usual_cell_px
from blood_kedro.library.imaging.read import read_rgb


def real_patches(coco: dict[str, Any], images: Path, options: CopyPaste, seed: int) -> list[CellPatch]:
    """Cells of the named classes cut from the images of a COCO json: the training split, never another.

    Up to `cutouts_per_class` of each class, from images in random order; cells without a clean outline are passed over.
    """
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in coco["annotations"]:
        rows[annotation["image_id"]].append(annotation)
    counts: Counter[str] = Counter()
    cutouts: list[CellPatch] = []
    order = np.random.default_rng(seed_for(seed, "cutouts")).permutation(len(coco["images"]))
    for record in (coco["images"][int(k)] for k in order):
        mine = rows[record["id"]]
        candidates = [
            (names[row["category_id"]], row)
            for row in mine
            if not row.get("iscrowd")
            and names[row["category_id"]] in options.classes
            and counts[names[row["category_id"]]] < options.cutouts_per_class
        ]
        cell_px = usual_cell_px(boxlib.from_coco(mine), labels_of(mine, names)) if candidates else None
        if cell_px is None:
            continue
        rgb = read_rgb(images / record["file_name"])
        colour = field_colour(rgb)
        for label, row in candidates if colour is not None else []:
            x, y, width, height = row["bbox"]
            origin = record.get("image_id", record["file_name"])
            cell = cut_out(rgb, (x, y, x + width, y + height), label, cell_px, colour, origin)  # type: ignore[arg-type]
            if cell is not None and counts[label] < options.cutouts_per_class:
                counts[label] += 1
                cutouts.append(cell)
    return cutouts
