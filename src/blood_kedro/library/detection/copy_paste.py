"""Copy-paste for rare classes: the cells to paste, and pasting them into training images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.cutout import Cutout
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.detection.options import CopyPaste
from blood_kedro.library.imaging.copy_paste import cut_out, field_colour, paste, usual_cell_px
from blood_kedro.library.imaging.read import read_rgb

Pixels = npt.NDArray[np.uint8]


def real_cutouts(coco: dict[str, Any], images: Path, options: CopyPaste, seed: int) -> list[Cutout]:
    """Cells of the named classes cut from the images of a COCO json: the training split, never another.

    Up to `cutouts_per_class` of each class, from images in random order; cells without a clean outline are passed over.
    """
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in coco["annotations"]:
        rows[annotation["image_id"]].append(annotation)
    counts: Counter[str] = Counter()
    cutouts: list[Cutout] = []
    order = np.random.default_rng(seed_for(seed, "cutouts")).permutation(len(coco["images"]))
    for record in (coco["images"][int(k)] for k in order):
        mine = rows[record["id"]]
        wanted = [
            (names[row["category_id"]], row)
            for row in mine
            if not row.get("iscrowd")
            and names[row["category_id"]] in options.classes
            and counts[names[row["category_id"]]] < options.cutouts_per_class
        ]
        cell_px = usual_cell_px(_boxes(mine), _labels(mine, names)) if wanted else None
        if cell_px is None:
            continue
        rgb = read_rgb(images / record["file_name"])
        colour = field_colour(rgb)
        for label, row in wanted if colour is not None else []:
            x, y, width, height = row["bbox"]
            origin = record.get("image_id", record["file_name"])
            cell = cut_out(rgb, (x, y, x + width, y + height), label, cell_px, colour, origin)  # type: ignore[arg-type]
            if cell is not None and counts[label] < options.cutouts_per_class:
                counts[label] += 1
                cutouts.append(cell)
    return cutouts


class Paster:
    """Pastes cells of named classes into training images.

    Args:
        coco: content of the training COCO json.
        cutouts: cells to choose from.
        options: settings.
        seed: decides, with epoch and image, what is pasted where.

    Raises:
        ConfigurationError: a class has no cut-out, or the training data have no such class.
    """

    def __init__(self, coco: dict[str, Any], cutouts: Sequence[Cutout], options: CopyPaste, seed: int) -> None:
        self.options, self.seed = options, seed
        self.names = {category["id"]: category["name"] for category in coco["categories"]}
        self.ids = {name: number for number, name in self.names.items()}
        self.by_class = {name: [c for c in cutouts if c.label == name] for name in options.classes}
        empty = [name for name, cells in self.by_class.items() if not cells or name not in self.ids]
        if empty:
            raise ConfigurationError(
                "copy_paste names classes that cannot be pasted",
                where="regimen: copy_paste.classes",
                got=", ".join(empty),
                expected=f"classes of the training data ({', '.join(self.ids)}) with at least one clean cell",
                remedy="correct the names, or set copy_paste.source to simulated",
            )
        rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in coco["annotations"]:
            rows[annotation["image_id"]].append(annotation)
        # Ignore regions lend their size and must not be covered either.
        self.boxes = {number: _boxes(mine) for number, mine in rows.items()}
        self.cell_px = {n: usual_cell_px(self.boxes[n], _labels(mine, self.names)) for n, mine in rows.items()}

    def __call__(self, pixels: Pixels, image_id: int, epoch: int) -> tuple[Pixels, boxlib.Boxes, list[int]]:
        """The image with cells pasted in, their boxes `(n, 4)` px and category ids; as it was where it has no scale."""
        cell_px = self.cell_px.get(image_id)
        if cell_px is None:
            return pixels, np.zeros((0, 4)), []
        rng = np.random.default_rng(seed_for(self.seed, "paste", epoch, image_id))
        classes = rng.choice(list(self.by_class), int(rng.poisson(self.options.per_image)))
        chosen = [self.by_class[name][int(rng.integers(len(self.by_class[name])))] for name in classes]
        image, boxes, pasted = paste(pixels, self.boxes[image_id], cell_px, chosen, rng, self.options.max_cover)
        return image, boxes, [self.ids[cell.label] for cell in pasted]


def _boxes(rows: list[dict[str, Any]]) -> boxlib.Boxes:
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _labels(rows: list[dict[str, Any]], names: dict[int, str]) -> list[str]:
    """Labels, ignore regions included: those carry a coarse label of their own."""
    return [row.get("label") or names[row["category_id"]] for row in rows]
