"""Write generated smears to a folder in the layout of the `synthetic` source.

`images/*.png` and `annotations.json`: COCO with run-length masks, and on each image and annotation what only a
simulator knows. A cell of which little lies inside a field is `iscrowd: 1`: nothing is lost, and nobody is asked to
name a sliver.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import cv2

from blood_kedro.library.core import coco
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.masks import encode_rle_at
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.core.taxonomy import CLASS_IDS
from blood_kedro.library.smears.field import SIMULATOR_VERSION, SimulatedField, plan, simulate_field, tiles
from blood_kedro.library.smears.fit_style import with_fitted_styles
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.truth import PlacedCell

# A cell of which less than this share lies inside an image is not to be detected.
MIN_VISIBLE_SHARE = 0.15


# Fields per task of a worker process: short ones cost more in passing on than in drawing.
_BATCH = 8


def write_smears(folder: Path, options: SmearOptions, seed: int, workers: int = 1) -> bool:
    """Generate all fields of all slides.

    A folder that already holds the smears of these options, seed and simulator version is left as it is. Memory does
    not grow with the number of fields. `annotations.json` comes last, so an interrupted call is simply repeated.

    Args:
        folder: written anew, whatever it held.
        options: what to simulate.
        seed: decides everything random.
        workers: number of processes, 0 for every core; the result does not depend on it.

    Returns:
        Whether anything was written.

    Raises:
        BadInputError: `options.like` names images that no style can be fitted to.
    """
    made_by = _made_by(options, seed)
    if _already(folder, made_by):
        return False
    _write(folder, _fields(with_fitted_styles(options), seed, workers or os.cpu_count() or 1), made_by)
    return True


def write_tiles(
    folder: Path, options: SmearOptions, seed: int, slide: int, width_px: int, height_px: int, tile_px: int
) -> bool:
    """Generate one smear larger than a field as tiles named `<column>_<row>`, as whole-slide sets publish them.

    Cells that a border cuts show in several tiles with one `number`. A smear of any size is made tile by tile.

    Returns:
        Whether anything was written.
    """
    made_by = _made_by(options, seed) | {"slide": slide, "size_px": [width_px, height_px], "tile_px": tile_px}
    if _already(folder, made_by):
        return False
    whole = plan(with_fitted_styles(options), seed, slide, 0, width_px, height_px)
    _write(folder, (_rendered(f"{column}_{row}", tile) for column, row, tile in tiles(whole, tile_px)), made_by)
    return True


@dataclass(frozen=True)
class _Rendered:
    """One image as it goes to disk: PNG bytes, and what `annotations.json` says of it but for numbers."""

    file_name: str
    png: bytes
    image: dict[str, Any]
    annotations: list[dict[str, Any]]


def _rendered(name: str, smear: SimulatedField) -> _Rendered:
    png = cv2.imencode(".png", smear.rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return _Rendered(f"{name}.png", png, _image(smear), [_annotation(cell, smear) for cell in smear.cells])


def _fields(options: SmearOptions, seed: int, workers: int) -> Iterable[_Rendered]:
    numbers = [(s, n) for s in range(1, options.slides + 1) for n in range(options.fields_per_slide)]
    batches = [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]
    if workers == 1 or len(batches) == 1:
        return (field for batch in batches for field in _batch(options, seed, batch))
    drawn = in_processes(partial(_batch, options, seed), batches, workers, ordered=True)
    return (field for batch in drawn for field in batch)


def _batch(options: SmearOptions, seed: int, numbers: list[tuple[int, int]]) -> list[_Rendered]:
    return [
        _rendered(f"slide_{slide:03d}_field_{number:03d}", simulate_field(options, seed, slide, number))
        for slide, number in numbers
    ]


def _made_by(options: SmearOptions, seed: int) -> dict[str, Any]:
    return {"seed": seed, "simulator_version": SIMULATOR_VERSION, "options": options.model_dump(mode="json")}


def _already(folder: Path, made_by: dict[str, Any]) -> bool:
    path = folder / "annotations.json"
    if not path.is_file():
        return False
    with path.open() as file:  # the fingerprint stands first; the file may be large
        return f'"fingerprint": "{fingerprint(made_by)}"' in file.read(200)


def _write(folder: Path, fields: Iterable[_Rendered], made_by: dict[str, Any]) -> None:
    shutil.rmtree(folder, ignore_errors=True)

    def stream(path: Path) -> None:
        with path.open("w") as file:
            _stream(file, folder, fields, made_by)

    write_atomically(folder / "annotations.json", stream)


def _stream(file: TextIO, folder: Path, fields: Iterable[_Rendered], made_by: dict[str, Any]) -> None:
    file.write(f'{{"info": {json.dumps({"fingerprint": fingerprint(made_by), **made_by})},\n')
    file.write(f'"categories": {json.dumps(coco.categories(CLASS_IDS))},\n"annotations": [')
    images: list[dict[str, Any]] = []
    count = 0
    for field in fields:
        write_bytes_atomically(folder / "images" / field.file_name, field.png)
        images.append({"id": len(images) + 1, "file_name": field.file_name, **field.image})
        for annotation in field.annotations:
            file.write("\n" if count == 0 else ",\n")
            count += 1
            file.write(json.dumps(coco.annotation(count, len(images), **annotation)))
    file.write('],\n"images": [' + ",\n".join(json.dumps(image) for image in images) + "]}\n")


def _image(smear: SimulatedField) -> dict[str, Any]:
    height, width = smear.rgb.shape[:2]
    return {
        "width": width,
        "height": height,
        "slide": smear.slide,
        "scanner": smear.style.name,
        "seed": smear.seed,
        "px_per_um": smear.px_per_um,
        "marks": [{"mark": mark, "box_xyxy_px": box} for mark, box in smear.marks],
    }


def _annotation(cell: PlacedCell, smear: SimulatedField) -> dict[str, Any]:
    height, width = smear.rgb.shape[:2]
    stamp = cell.stamp
    return {
        "category": CLASS_IDS[cell.label],
        "box": cell.box_xyxy_px,
        "area": int(stamp.mask.sum()),
        "crowd": cell.visible_share < MIN_VISIBLE_SHARE,
        "segmentation": {
            "size": [height, width],
            "counts": encode_rle_at(stamp.mask, stamp.top, stamp.left, height, width),
        },
        "kind": cell.kind,
        "number": cell.number,
        "centre": list(cell.centre_xy_px),
        "visible_share": round(cell.visible_share, 6),
        "overlap_share": round(cell.overlap_share, 6),
        "clump": cell.clump,
        "clump_cells": cell.clump_cells,
    }
