"""What a count leaves for other programs: label image, coloured mask, contours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import tifffile

from blood_kedro.library.core.colours import MASKS
from blood_kedro.library.core.files import remove, replaced_folder
from blood_kedro.library.core.taxonomy import NOT_NAMED
from blood_kedro.library.counting.count.smears import each_mask_of
from blood_kedro.library.counting.draw.rings import geometries
from blood_kedro.library.counting.pieces import Piece

_MOST_PIXELS = 1_000_000_000
# What contours say of a cell.
_SAID = ("cell", "label", "type", "area_px2", "cells_in_clump", "counted")
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
        size_hw_px = int(row["height_px"]), int(row["width_px"])
        write_masks(folder, str(row["smear"]), size_hw_px, smear_cells, each_mask_of(smear_masks))


def write_masks(
    folder: Path, name: str, size_hw_px: tuple[int, int], cells: pd.DataFrame, masks: Iterable[Piece]
) -> None:
    """Write `<name>_labels.tif`, `<name>_kinds.tif` and `<name>.geojson` into a folder that nobody reads yet.

    Labels are `int32`, 0 is ground, a cell has the number of its row; kinds are RGB. All are filled on the disk, some
    cells at a time, so that a slide of any size needs no more memory than these. The contours are valid polygons in
    px of the smear, as QuPath and napari read them: their area is that of the mask. Of a smear of more than
    `_MOST_PIXELS` they are all that is written: its label image would take gigabytes.

    Args:
        folder: see above.
        name: of the smear.
        size_hw_px: of the smear.
        cells: one row per cell.
        masks: of each row of `cells`, taken one by one.
    """
    labels, kinds, contours = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
    said = cells[[column for column in _SAID if column in cells]]
    rows = (dict(zip(said.columns, row, strict=True)) for row in said.itertuples(index=False, name=None))
    with contours.open("wb") as stream, ExitStack() as opened:
        images: list[npt.NDArray[Any]] = []
        if math.prod(size_hw_px) <= _MOST_PIXELS:
            for path, shape, dtype in ((labels, size_hw_px, np.int32), (kinds, (*size_hw_px, 3), np.uint8)):
                images.append(opened.enter_context(_on_disk(path, shape, dtype)))
        stream.write(b'{"type": "FeatureCollection", "features": [')
        drawn, outlined = tee(masks)
        for place, (mask, outline, row) in enumerate(zip(drawn, geometries(outlined), rows, strict=True)):
            for image, value in zip(images, (row["cell"], MASKS[row["label"]]), strict=False):
                image[mask.window][mask.mask] = value
            stream.write(b",\n" if place else b"\n")
            stream.write(orjson.dumps(_feature(outline, row), option=orjson.OPT_SERIALIZE_NUMPY))
        stream.write(b"]}")


@contextmanager
def _on_disk(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Iterator[npt.NDArray[Any]]:
    """An image that is filled where it lies."""
    canvas = tifffile.memmap(path, shape=shape, dtype=dtype, bigtiff=True)
    try:
        yield canvas
    finally:
        canvas.flush()


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
