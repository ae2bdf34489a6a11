"""What a count leaves for other programs: label image, coloured mask, contours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from blood_kedro.library.core.colours import MASKS
from blood_kedro.library.core.files import remove, replaced_folder
from blood_kedro.library.core.taxonomy import NOT_NAMED
from blood_kedro.library.counting.count.smears import masks_of
from blood_kedro.library.counting.draw.rings import geometries
from blood_kedro.library.counting.pieces import Piece

_MOST_PIXELS = 1_000_000_000
_SUFFIXES = ("_labels.tif", "_kinds.tif", ".geojson")


@contextmanager
def masks_written(folder: Path, *, wanted: bool) -> Iterator[Path | None]:
    """A folder for the masks of one count, which replaces that of an earlier one at the end.

    None where no masks are wanted; those of an earlier count are removed then, too.
    """
    if wanted:
        with replaced_folder(folder) as new:
            yield new
        return
    yield None
    for path in [path for suffix in _SUFFIXES for path in folder.glob(f"*{suffix}")]:
        remove(path)


def write_smears(folder: Path, counts: pd.DataFrame, cells: pd.DataFrame, masks: pd.DataFrame) -> None:
    """Write the masks of all smears of a count: `write_masks` says how.

    Args:
        folder: see there.
        counts: one row per smear.
        cells: one row per cell.
        masks: of each row of `cells`.
    """
    for row in counts.to_dict("records"):
        smear_cells, smear_masks = (table[table["smear"] == row["smear"]] for table in (cells, masks))
        write_masks(
            folder, str(row["smear"]), (int(row["height_px"]), int(row["width_px"])), smear_cells, masks_of(smear_masks)
        )


def write_masks(
    folder: Path, name: str, size_hw_px: tuple[int, int], cells: pd.DataFrame, masks: Sequence[Piece]
) -> None:
    """Write `<name>_labels.tif`, `<name>_kinds.tif` and `<name>.geojson` into a folder that nobody reads yet.

    Labels are `int32`, 0 is ground, a cell has the number of its row; kinds are RGB. Both TIFFs are filled on the disk,
    a cell at a time, so that a slide of any size needs no more memory than one cell. The contours are valid polygons in
    px of the smear, as QuPath and napari read them: their area is that of the mask. Of a smear of more than
    `_MOST_PIXELS` they are all that is written: its label image would take gigabytes.
    """
    height, width = size_hw_px
    labels, kinds, contours = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
    images = ((labels, (height, width), np.int32), (kinds, (height, width, 3), np.uint8))
    for path, shape, dtype in images if height * width <= _MOST_PIXELS else ():
        canvas = tifffile.memmap(path, shape=shape, dtype=dtype, bigtiff=True)
        for mask, number, label in zip(masks, cells["cell"], cells["label"], strict=True):
            canvas[mask.window][mask.mask] = number if path == labels else MASKS[label]
        canvas.flush()
        del canvas
    with contours.open("w", encoding="utf-8") as file:  # a cell at a time: those of a slide are gigabytes as objects
        file.write('{"type": "FeatureCollection", "features": [')
        for k, (outline, row) in enumerate(zip(geometries(masks), cells.to_dict("records"), strict=True)):
            file.write((", " if k else "") + json.dumps(_feature(outline, row)))
        file.write("]}")


def _feature(outline: dict[str, Any], row: dict[Any, Any]) -> dict[str, Any]:
    label = str(row["label"])
    named = row.get("type")
    # QuPath takes what follows a colon for a class below the one before it.
    is_named = isinstance(named, str) and named not in (label, NOT_NAMED)
    name = f"{label.upper()}: {named}" if is_named else label.upper()
    measurements = {
        "area px^2": int(row["area_px2"]),
        "cells in clump": int(row["cells_in_clump"]),
        "counted": int(row["counted"]),
    }
    return {
        "type": "Feature",
        "id": str(row["cell"]),
        "geometry": outline,
        "properties": {
            "objectType": "detection",
            "classification": {"name": name, "color": list(MASKS[label])},
            "measurements": measurements,
        },
    }
