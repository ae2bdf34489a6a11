"""What a count leaves for other programs: label image, coloured mask, contours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from blood_kedro.library.core.files import write_bytes_atomically
from blood_kedro.library.counting.cells import Counted
from blood_kedro.library.counting.pieces import Piece

# Paper 004, section 3.5: red cells red, white cells green; platelets, which it does not count, violet.
COLOURS = {"rbc": (255, 0, 0), "wbc": (0, 128, 0), "platelet": (148, 0, 211)}


def write_masks(folder: Path, name: str, counted: Counted) -> None:
    """Write `<name>_labels.tif`, `<name>_kinds.tif` and `<name>.geojson`, each whole or not at all.

    Labels are `int32`, 0 is ground, a cell has the number of its row; kinds are RGB. Both TIFFs are filled on the disk,
    a cell at a time, so that a slide of any size needs no more memory than one cell. The contours are polygons in px of
    the smear, as QuPath and napari read them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    height, width = counted.counts["height_px"], counted.counts["width_px"]
    for suffix, shape, dtype in (("labels", (height, width), np.int32), ("kinds", (height, width, 3), np.uint8)):
        part = folder / f".part-{name}_{suffix}.tif"
        canvas = tifffile.memmap(part, shape=shape, dtype=dtype, bigtiff=True)
        for mask, number, label in zip(counted.masks, counted.cells["cell"], counted.cells["label"], strict=True):
            canvas[mask.window][mask.mask] = number if suffix == "labels" else COLOURS[label]
        canvas.flush()
        del canvas
        part.replace(folder / f"{name}_{suffix}.tif")
    features = [_feature(mask, row) for mask, row in zip(counted.masks, counted.cells.to_dict("records"), strict=True)]
    content = json.dumps({"type": "FeatureCollection", "features": features})
    write_bytes_atomically(folder / f"{name}.geojson", content.encode())


def _feature(mask: Piece, row: dict[Any, Any]) -> dict[str, Any]:
    label = str(row["label"])
    measurements = {
        "area px^2": int(row["area_px2"]), "cells in clump": int(row["cells_in_clump"]), "counted": int(row["counted"])
    }  # fmt: skip
    return {
        "type": "Feature",
        "id": str(row["cell"]),
        "geometry": {"type": "Polygon", "coordinates": [_outline(mask)]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": label.upper(), "color": list(COLOURS[label])},
            "measurements": measurements,
        },
    }


def _outline(mask: Piece) -> list[list[int]]:
    """Closed outline of the largest part through the corners of its pixels."""
    # At twice the size, an even position is the left edge of a pixel and an odd one its right edge.
    padded = cv2.resize(np.pad(mask.mask, 1).astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    outlines = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    points = max(outlines, key=cv2.contourArea).reshape(-1, 2)
    corners = (points + 1) // 2 - 1 + np.array([mask.left, mask.top])
    ring: list[list[int]] = corners.tolist()
    return [*ring, ring[0]]
