"""Copy-paste for rare classes: pasting cells into training images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.imaging.paste import paste, usual_cell_px

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import CopyPaste

Pixels = npt.NDArray[np.uint8]


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

    def __init__(self, coco: dict[str, Any], cutouts: Sequence[CellPatch], options: CopyPaste, seed: int) -> None:
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
        self.boxes = {number: boxlib.from_coco(mine) for number, mine in rows.items()}
        self.cell_px = {n: usual_cell_px(self.boxes[n], labels_of(mine, self.names)) for n, mine in rows.items()}

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


def labels_of(rows: list[dict[str, Any]], names: dict[int, str]) -> list[str]:
    """Labels, ignore regions included: those carry a coarse label of their own."""
    return [row.get("label") or names[row["category_id"]] for row in rows]
