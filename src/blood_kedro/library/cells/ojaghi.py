"""Tiles of two smears with the masks that SAM ViT-H made of them (Ojaghi et al. 2020; the data of Rao et al. 2024).

Layout: `grid_images/<tile>.png` and `Mask_sub_folders/<tile>/<number>.png`, one full-size mask each. A tile named
`HS2_<column>_<row>` is of the second smear, `<column>_<row>` of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blood_kedro.library.cells.crop import crop_square, touches_border
from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.read import read_grey, read_rgb

HOW_TO_GET = "git clone https://github.com/Abhi21298/Thesis-Blood-Smears and point raw_root's ojaghi/ at it"
# No labelled mask has 300 px^2 or less; platelets, debris and slivers do. A single red cell is 36 px wide, about
# 1,000 px^2; masks of more than 2,200 px^2 are clusters (docs/facts/data.md#ojaghi-tiles).
MIN_AREA_PX2, MAX_AREA_PX2 = 300, 2200
# A mask that holds two others to this share is a cluster; one that lies in a larger one is seen there already.
_INSIDE_SHARE, _SAME_IOU = 0.8, 0.8
# A cell of one piece fills its convex outline; SAM's leftovers between cells do not.
_MIN_FILL = 0.6
_CUT = "the border of the tile cuts the cell"


def tiles(folder: Path) -> list[Path]:
    """Images of tiles, in order of name.

    Raises:
        SourceNotFoundError: there is none.
    """
    files = sorted((folder / "grid_images").glob("*.png"))
    if not files:
        raise SourceNotFoundError("source ojaghi holds no tile", where=str(folder / "grid_images"), remedy=HOW_TO_GET)
    return files


def cells_of_tile(folder: Path, image: Path, crop_px: int, side_px: int, rejects: RejectLog) -> Iterator[Crop]:
    """Single red cells of a tile with their masks; everything else is a reject with its reason."""
    rgb = read_rgb(image)
    masks, rows = _masks(folder, image, rgb.shape[:2], rejects)
    smear = "HS2" if image.stem.startswith("HS2") else "HS1"
    for mask, path, reason in zip(masks, rows, _reasons(masks), strict=True):
        if reason is not None:
            rejects.add(path.relative_to(folder), "cell", "dropped", reason)
            continue
        y, x = np.nonzero(mask)
        centre = (float(x.min() + x.max() + 1) / 2, float(y.min() + y.max() + 1) / 2)
        crop, cut = crop_square(rgb, mask, centre, crop_px, side_px)
        yield Crop(
            crop,
            cut,
            {
                "cell_id": f"ojaghi/{image.stem}#{path.stem}",
                "source": "ojaghi",
                "image_id": f"ojaghi/{image.stem}",
                "group_id": f"ojaghi/{smear}",
                "slide": smear,
                "scanner": None,
                "label_raw": "RBC",
                "label": "rbc",
                "shape": None,
                "x_px": centre[0],
                "y_px": centre[1],
                "mask_origin": "sam",
            },
        )


def boxes_of_tile(folder: Path, image: Path, rejects: RejectLog) -> tuple[Boxes, Boxes]:
    """Boxes `(N, 4)` xyxy px of the red cells of a tile, cut ones too, and of what is neither a cell nor background.

    The second are clusters that SAM did not take apart.
    """
    masks, _ = _masks(folder, image, read_rgb(image).shape[:2], rejects)
    cells, unclear = [], []
    for mask, reason in zip(masks, _reasons(masks), strict=True):
        if reason is None or reason == _CUT:
            cells.append(_box(mask))
        elif reason.startswith("cluster") and reason.endswith(" 0 other masks inside"):
            unclear.append(_box(mask))
    return np.array(cells, np.float64).reshape(-1, 4), np.array(unclear, np.float64).reshape(-1, 4)


def _box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def _masks(
    folder: Path, image: Path, shape: tuple[int, ...], rejects: RejectLog
) -> tuple[list[npt.NDArray[np.bool_]], list[Path]]:
    """Masks of a tile with the size of the tile, and their files."""
    paths = sorted((folder / "Mask_sub_folders" / image.stem).glob("*.png"), key=lambda p: (len(p.stem), p.stem))
    if not paths:
        rejects.add(image.relative_to(folder), "image", "dropped", "tile without masks")
    masks, rows = [], []
    for path in paths:
        try:
            mask = np.asarray(read_grey(path) > 127, np.bool_)
        except BadInputError as error:
            rejects.add(path.relative_to(folder), "cell", "dropped", error.what)
            continue
        if mask.shape != shape:
            rejects.add(path.relative_to(folder), "cell", "dropped", f"mask of {mask.shape}, tile of {shape}")
            continue
        masks.append(mask)
        rows.append(path)
    return masks, rows


def _reasons(masks: list[npt.NDArray[np.bool_]]) -> list[str | None]:
    """Why each mask is no single red cell, or None."""
    if not masks:
        return []
    areas = np.array([mask.sum() for mask in masks])
    flat = np.stack([mask.ravel() for mask in masks]).astype(np.float32)
    shared = flat @ flat.T
    inside = shared / np.maximum(areas[:, None], 1) >= _INSIDE_SHARE  # row lies in column
    np.fill_diagonal(inside, val=False)
    overlap = shared / np.maximum(areas[:, None] + areas[None] - shared, 1)
    distinct = overlap <= _SAME_IOU
    parts = (inside & distinct & (areas > MIN_AREA_PX2)[:, None]).sum(axis=0)
    cluster = (parts >= 2) | (areas > MAX_AREA_PX2)
    reasons: list[str | None] = []
    for k, mask in enumerate(masks):
        twin = any(overlap[k, j] > _SAME_IOU for j in range(k))
        around = bool((inside[k] & distinct[k] & ~cluster).any())
        reasons.append(_reason(mask, int(areas[k]), int(parts[k]), twin=twin, around=around))
    return reasons


def _reason(mask: npt.NDArray[np.bool_], area: int, parts: int, *, twin: bool, around: bool) -> str | None:
    if area == 0:
        return "empty mask"
    y, x = np.nonzero(mask)
    box = int((x.max() - x.min() + 1) * (y.max() - y.min() + 1))
    checks = (
        (area <= MIN_AREA_PX2, f"area {area} px^2: platelet, debris or sliver"),
        (parts >= 2 or area > MAX_AREA_PX2, f"cluster: area {area} px^2, {parts} other masks inside"),
        (twin, "the same cell as an earlier mask"),
        (around, "part of a cell that has a mask of its own"),
        (touches_border(mask), _CUT),
        (area < _MIN_FILL * box, f"fills {area / box:.2f} of its box: no cell of one piece"),
    )
    return next((text for wrong, text in checks if wrong), None)
