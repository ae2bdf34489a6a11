"""Single cells with a known type or shape, of every laboratory that names them, cut out at one scale.

Chula labels points on red cells with 13 shapes. PBC shows one nucleated cell or platelet in the middle of each picture,
its type in the file's name. BCCD has boxes of white cells; their types come from the classification copy of that set
(`wbc_types.csv`), which counts cells per picture only, so pictures with one box and one type are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import area
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.read import RgbImage, read_rgb
from blood_kedro.library.merging.duplicates import duplicate_groups, find_duplicates
from blood_kedro.library.merging.options import DuplicateOptions
from blood_kedro.library.merging.thumbnails import make_thumbnails
from blood_kedro.library.shipped.pictures import EDGE_PX
from blood_kedro.library.shipped.stains import in_standard_stain
from blood_kedro.library.shipped.type_options import View
from blood_kedro.library.shipped.views import cut_view
from blood_kedro.library.sources.base import RawImage
from blood_kedro.library.sources.bccd import Bccd
from blood_kedro.library.sources.chula import Chula
from blood_kedro.library.sources.pbc import Pbc

# Width of a usual red cell in px of the files: TXL-PBC's boxes of pictures of 360x363 and 640x480 px, square root of
# the area, boxes that touch no border (PBC, BCCD); fitted outlines of normal cells (Chula). The classifiers that ship
# learnt from crops of these widths, so they are part of the models: not those that sources have in the parameters
# (`sources.<name>.cell_px`: 78 for PBC, 105 for BCCD), which would cut other crops.
CELL_PX = {"chula": 38.0, "pbc": 79.0, "bccd": 103.5}
TYPES_FILE = "wbc_types.csv"
_PRIOR_CELLS = 3


@dataclass(frozen=True)
class TypedCrops:
    """Cells `crops (N, S, S, 3) uint8`, `S` the side of a view with its margins on both sides, and one row each.

    `table` has `cell_id, laboratory, image_id, group_id, type` and the box in px of the file where one is known; cells
    of a group are never on two sides of a split.
    """

    crops: npt.NDArray[np.uint8]
    table: pd.DataFrame

    def where(self, chosen: npt.NDArray[np.bool_]) -> TypedCrops:
        """The cells for which `chosen (N,)` is true."""
        return TypedCrops(self.crops[chosen], self.table[chosen].reset_index(drop=True))


def chula_cells(folder: Path, view: View, rejects: RejectLog) -> TypedCrops:
    """Labelled red cells of Chula that no border cuts, as crops around the middle of their outline.

    Raises:
        SourceNotFoundError: `folder` holds no image.
    """
    from blood_kedro.library.cells.points import LabelledPoint, cells_at_points

    images = list(Chula().scan(folder, rejects))
    groups = field_groups(folder, images)
    cell_px = CELL_PX["chula"]
    crops: list[RgbImage] = []
    rows: list[dict[str, object]] = []
    for image, group in zip(images, groups, strict=True):
        rgb = read_rgb(folder / image.path)
        name = image.path.stem
        points = [
            LabelledPoint(
                label.box_xyxy_px[0], label.box_xyxy_px[1], label.label_raw, Chula.labels[label.label_raw], label.row
            )
            for label in image.labels
            if label.box_xyxy_px is not None
        ]
        cells, refused = cells_at_points(rgb, points, {"image_id": name}, cell_px, 2 * round(cell_px), 8)
        for refusal in refused:
            rejects.add(image.path, "cell", "dropped", refusal.reason, refusal.row)
        for cell in cells:
            facts = cell.facts
            centre = (float(str(facts["x_px"])), float(str(facts["y_px"])))
            crops.append(cut_view(rgb, centre, cell_px, view, margin=True))
            rows.append(
                {
                    "cell_id": f"chula/{facts['cell_id']}",
                    "laboratory": "chula",
                    "image_id": f"chula/{name}",
                    "group_id": f"chula/{group}",
                    "type": facts["label"],
                    "x_px": centre[0],
                    "y_px": centre[1],
                }
            )
    return TypedCrops(np.stack(crops), pd.DataFrame(rows))


def pbc_cells(folder: Path, view: View, rejects: RejectLog) -> TypedCrops:
    """The nucleated cell or platelet in the middle of each picture of PBC.

    Raises:
        SourceNotFoundError: `folder` holds no image.
    """
    images = []
    for image in Pbc().scan(folder, rejects):
        try:
            read_rgb(folder / image.path)
        except BadInputError as error:
            rejects.add(image.path, "image", "dropped", error.what)
            continue
        images.append(image)
    groups = field_groups(folder, images)
    crops, rows = [], []
    for image, group in zip(images, groups, strict=True):
        rgb = read_rgb(folder / image.path)
        name = image.path.with_suffix("").as_posix()
        crops.append(_white_crop(rgb, (rgb.shape[1] / 2, rgb.shape[0] / 2), CELL_PX["pbc"], view))
        rows.append(
            {
                "cell_id": f"pbc/{name}",
                "laboratory": "pbc",
                "image_id": f"pbc/{name}",
                "group_id": f"pbc/{group}",
                "type": Pbc.labels[image.labels[0].label_raw],
                "x_px": rgb.shape[1] / 2,
                "y_px": rgb.shape[0] / 2,
            }
        )
    return TypedCrops(np.stack(crops), pd.DataFrame(rows))


def bccd_white_cells(folder: Path, view: View, rejects: RejectLog) -> TypedCrops:
    """The white cell of each BCCD picture that shows a single one whose type is known.

    Raises:
        SourceNotFoundError: `folder` holds no image, or no file of types.
    """
    if not (folder / TYPES_FILE).is_file():
        raise SourceNotFoundError(
            "types of BCCD's white cells are missing",
            where=str(folder / TYPES_FILE),
            remedy="take the labels of github.com/dhruvp/wbc-classification as columns image, types",
        )
    table = pd.read_csv(folder / TYPES_FILE)
    types = dict(zip(table["image"], table["types"], strict=True))
    images = list(Bccd().scan(folder, rejects))
    groups = field_groups(folder, images)
    crops, rows = [], []
    for image, group in zip(images, groups, strict=True):
        name = image.path.stem
        boxes = [label.box_xyxy_px for label in image.labels if label.label_raw == "WBC" and label.box_xyxy_px]
        if len(boxes) != 1 or ";" in str(types.get(name, ";")):
            reason = f"{len(boxes)} boxes of white cells, types {types.get(name, 'unknown')}"
            rejects.add(image.path, "cell", "dropped", reason)
            continue
        rgb = read_rgb(folder / image.path)
        centre = ((boxes[0][0] + boxes[0][2]) / 2, (boxes[0][1] + boxes[0][3]) / 2)
        crops.append(_white_crop(rgb, centre, red_cell_px(image, rgb, CELL_PX["bccd"]), view))
        rows.append(
            {
                "cell_id": f"bccd/{name}",
                "laboratory": "bccd",
                "image_id": f"bccd/{name}",
                "group_id": f"bccd/{group}",
                "type": types[name],
                "x_px": centre[0],
                "y_px": centre[1],
            }
        )
    return TypedCrops(np.stack(crops), pd.DataFrame(rows))


def red_cell_px(image: RawImage, rgb: RgbImage, usual_px: float) -> float:
    """Median width of a picture's red cells, px: of boxes that touch no border, where there are enough.

    Fields of one laboratory differ by some 10%; where few cells are whole, the laboratory's own width says more.
    """
    boxes = np.array([b.box_xyxy_px for b in image.labels if b.label_raw == "RBC" and b.box_xyxy_px], float)
    if not len(boxes):
        return usual_px
    height, width = rgb.shape[:2]
    inside = (boxes[:, :2].min(axis=1) > EDGE_PX) & (boxes[:, 2] < width - EDGE_PX) & (boxes[:, 3] < height - EDGE_PX)
    widths = np.sqrt(np.maximum(area(boxes[inside]), 0))
    prior = np.full(_PRIOR_CELLS, usual_px)
    return float(np.median(np.concatenate([widths, prior])))


def _white_crop(rgb: RgbImage, centre: tuple[float, float], cell_px: float, view: View) -> RgbImage:
    crop = cut_view(rgb, centre, cell_px, view, margin=True)
    return in_standard_stain(crop, rgb, np.array([centre]), cell_px, view.stain)


def field_groups(folder: Path, images: Sequence[RawImage]) -> list[str]:
    """`groups_of` the pictures of a source."""
    names = [image.path.with_suffix("").as_posix() for image in images]
    return groups_of(names, [folder / image.path for image in images])


def groups_of(names: list[str], paths: Sequence[Path], known: list[str | None] | None = None) -> list[str]:
    """The group of each picture: all that show the same field, or have the same pixels, share one.

    Args:
        names: of the pictures, each once.
        paths: of their files.
        known: what they are of (smear, patient), which shares a group, too; None where nobody knows.
    """
    sizes = [(rgb.shape[1], rgb.shape[0]) for rgb in map(read_rgb, paths)]
    pairs = find_duplicates(names, ["one"] * len(names), make_thumbnails(paths, sizes), DuplicateOptions())
    return duplicate_groups(names, pairs, known or [None] * len(names))
