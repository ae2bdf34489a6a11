"""Crops as one folder: a table, and two files that are mapped into memory and never read whole.

100,000 crops of 80 px are 1.9 GB and three files; training touches the pages it needs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.files import replaced_folder
from blood_kedro.library.core.schemas import CropTable, conform

TABLE, CROPS, MASKS, META = "cells.parquet", "crops.bin", "masks.bin", "meta.json"
_AGAIN = "make the crops again (kedro run --pipelines=rbc_morphology --tags=cells)"
_AT_ONCE = 1024
# A disk on every system, while /tmp is memory on some.
_SPOOLS = Path("/var/tmp")  # noqa: S108 - files there have no name that anybody could take


@dataclass(frozen=True)
class Crop:
    """One cell, as a reader gives it.

    Attributes:
        rgb: `(S, S, 3) uint8`, the cell in the middle.
        mask: `(S, S) bool` of the cell (of all its cells, where several overlap); None where unknown.
        facts: the columns of `CropTable` that the reader knows.
    """

    rgb: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_] | None
    facts: dict[str, object]


@dataclass(frozen=True)
class CropSet:
    """All crops of a source.

    Attributes:
        table: of schema `CropTable`, one row per crop.
        crops: `(N, S, S, 3) uint8` RGB, in the order of the table; read-only where mapped.
        masks: `(N, S, S) bool`; all False where the table says that there is none.
    """

    table: pd.DataFrame
    crops: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.table)

    @property
    def side_px(self) -> int:
        """Side of a crop."""
        return int(self.crops.shape[1])


def gather_crops(crops: Iterable[Crop], side_px: int) -> CropSet:
    """All crops of a reader, taken one at a time: pixels go to a nameless temporary file, which is mapped.

    So memory does not grow with their number, and what the reader tells on its way (rejects, measures) is complete.
    The file is in `TMPDIR`, else on the disk of /var/tmp; it is gone with the set, or with the process.

    Raises:
        DataContractError: a crop or mask has another size.
    """
    rows: list[dict[str, object]] = []
    with _spool() as pixels, _spool() as masks:
        for crop in crops:
            _append(crop, side_px, pixels, masks)
            rows.append({**crop.facts, "has_mask": crop.mask is not None})
        shape = (len(rows), side_px, side_px)
        return CropSet(
            conform(CropTable, rows), _mapped(pixels, np.uint8, (*shape, 3)), _mapped(masks, np.bool_, shape)
        )


def _spool() -> IO[bytes]:
    on_disk = "TMPDIR" not in os.environ and os.access(_SPOOLS, os.W_OK)
    return tempfile.TemporaryFile(dir=_SPOOLS if on_disk else None)


def _append(crop: Crop, side_px: int, pixels: IO[bytes], masks: IO[bytes]) -> None:
    mask = np.zeros((side_px, side_px), np.bool_) if crop.mask is None else crop.mask
    if crop.rgb.shape != (side_px, side_px, 3) or mask.shape != (side_px, side_px):
        raise DataContractError(
            "crop or mask of another size",
            where=str(crop.facts.get("cell_id")),
            expected=f"{side_px} px squares",
            got=f"{crop.rgb.shape} and {mask.shape}",
            remedy="look at the reader that made it",
        )
    pixels.write(np.ascontiguousarray(crop.rgb, np.uint8).tobytes())
    masks.write(np.ascontiguousarray(mask, np.bool_).tobytes())


def _mapped(file: IO[bytes] | Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The content of a file; nothing can be mapped of an empty one."""
    if not shape[0]:
        return np.zeros(shape, dtype)
    if not isinstance(file, Path):
        file.flush()
    return np.memmap(file, dtype, "r", shape=shape)


def save_crops(crops: CropSet, folder: Path) -> None:
    """Write a set, some crops at a time, and rename its folder into place when all is there.

    Raises:
        DataContractError: table, crops and masks disagree in number, or the table breaks its schema.
    """
    lengths = (len(crops.table), len(crops.crops), len(crops.masks))
    if len(set(lengths)) > 1:
        raise DataContractError(
            "table and crops disagree in number",
            where=str(folder),
            got="{} rows, {} crops, {} masks".format(*lengths),
            expected="as many of each",
            remedy="look at the node that made this set",
        )
    table = CropTable.validate(crops.table)
    with replaced_folder(folder) as new:
        for name, array, dtype in ((CROPS, crops.crops, np.uint8), (MASKS, crops.masks, np.bool_)):
            with (new / name).open("wb") as file:
                for start in range(0, len(array), _AT_ONCE):
                    file.write(np.ascontiguousarray(array[start : start + _AT_ONCE], dtype).tobytes())
        table.to_parquet(new / TABLE, index=False)
        (new / META).write_text(json.dumps({"side_px": crops.side_px, "cells": len(table)}))


def write_crops(folder: Path, crops: Iterable[Crop], side_px: int) -> CropSet:
    """Gather crops, save them, and map the folder: for what is no node of a pipeline. Errors as of these."""
    save_crops(gather_crops(crops, side_px), folder)
    return read_crops(folder)


def read_crops(folder: Path) -> CropSet:
    """Map a folder of `save_crops` into memory.

    Raises:
        DataContractError: a part is missing, or the parts disagree in number.
    """
    missing = [name for name in (TABLE, CROPS, MASKS, META) if not (folder / name).is_file()]
    if missing:
        raise DataContractError(
            "folder of crops is incomplete", where=str(folder), got=f"no {', '.join(missing)}", remedy=_AGAIN
        )
    table, side = _table(folder)
    sizes = [(folder / name).stat().st_size for name in (CROPS, MASKS)]
    wanted = [len(table) * side * side * bands for bands in (3, 1)]
    if sizes != wanted:
        raise DataContractError(
            "table and crops disagree in number",
            where=str(folder),
            got=f"{sizes} bytes of crops and masks",
            expected=f"{wanted} for {len(table)} crops of {side} px",
            remedy=_AGAIN,
        )
    shape = (len(table), side, side)
    return CropSet(table, _mapped(folder / CROPS, np.uint8, (*shape, 3)), _mapped(folder / MASKS, np.bool_, shape))


def _table(folder: Path) -> tuple[pd.DataFrame, int]:
    """The table, and the side of a crop, px.

    Raises:
        DataContractError: one of the two is cut or damaged, or they disagree.
    """
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        side, crops = int(meta["side_px"]), int(meta["cells"])
        table = pd.read_parquet(folder / TABLE)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataContractError(
            "folder of crops is damaged",
            where=str(folder),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy=_AGAIN,
        ) from error
    if len(table) != crops:
        raise DataContractError(
            "table and crops disagree in number",
            where=str(folder),
            got=f"{len(table)} rows",
            expected=f"{crops} crops",
            remedy=_AGAIN,
        )
    return CropTable.validate(table), side
