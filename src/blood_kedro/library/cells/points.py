"""Cells around labelled points of a field (Chula): segmented, centred, cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.cells.crop import crop_square, touches_border
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.taxonomy import SHAPE_OF_LABEL
from blood_kedro.library.imaging.segmentation import foreground, split_instances

RgbImage = npt.NDArray[np.uint8]

# A segmented cell counts as the labelled one if its area is within these factors of a usual cell's.
_PLAUSIBLE_AREA = (0.15, 4.0)


@dataclass(frozen=True)
class LabelledPoint:
    """A point on a cell, px of its image, with the source's own label, its class, and its row in the label file."""

    x_px: float
    y_px: float
    label_raw: str
    label: str
    row: int


@dataclass(frozen=True)
class Reject:
    """A cell that could not be taken; `row` is that of its point."""

    row: int
    reason: str


def cells_at_points(
    rgb: RgbImage, points: Sequence[LabelledPoint], facts: dict[str, object], cell_px: float, crop_px: int, side_px: int
) -> tuple[list[Crop], list[Reject]]:
    """Cut out the cell at each point, with its mask where segmentation finds one of a plausible size.

    Args:
        rgb: `(H, W, 3) uint8`.
        points: at most one on a cell.
        facts: `source`, `image_id`, `group_id` and whatever else holds for the whole image.
        cell_px: usual diameter of a red cell.
        crop_px: side of the square around the cell.
        side_px: side of the crop that is returned.

    Returns:
        Cells, and a reject for each that the border of the image cuts.
    """
    seeds = np.array([(p.x_px, p.y_px) for p in points], np.float64).reshape(-1, 2)
    labels = split_instances(foreground(rgb, cell_px), cell_px, seeds)
    usual = np.pi / 4 * cell_px**2
    windows = ndimage.find_objects(labels, max_label=len(points))
    cells, rejects = [], []
    for number, (point, window) in enumerate(zip(points, windows, strict=True), start=1):
        mask = labels == number
        outlined = window is not None and _PLAUSIBLE_AREA[0] * usual < mask[window].sum() < _PLAUSIBLE_AREA[1] * usual
        if outlined and touches_border(mask):
            rejects.append(Reject(point.row, "the border of the image cuts the cell"))
            continue
        centre = (point.x_px, point.y_px)
        if not outlined and not _inside(centre, rgb.shape[:2], cell_px / 2):
            rejects.append(Reject(point.row, "too near to the border of the image, and no outline found"))
            continue
        if outlined:
            rows, columns = window
            centre = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
        crop, cut = crop_square(rgb, mask if outlined else None, centre, crop_px, side_px)
        cell_facts = {
            "cell_id": f"{facts['image_id']}#{point.row}",
            "label_raw": point.label_raw,
            "label": point.label,
            "shape": SHAPE_OF_LABEL.get(point.label),
            "x_px": float(centre[0]),
            "y_px": float(centre[1]),
            "mask_origin": "segmented" if outlined else None,
        }
        cells.append(Crop(crop, cut, {"slide": None, "scanner": None, **facts, **cell_facts}))
    return cells, rejects


def _inside(centre: tuple[float, float], shape: tuple[int, ...], margin: float) -> bool:
    return margin <= centre[0] <= shape[1] - margin and margin <= centre[1] <= shape[0] - margin
