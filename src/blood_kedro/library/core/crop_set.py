"""Single-cell crops as one folder: a table, and two files that are mapped into memory and never read whole.

100,000 crops of 80 px are 1.9 GB and three files; training touches the pages it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.files import replaced_folder
from blood_kedro.library.core.schemas import CropTable, conform

TABLE, CROPS, MASKS, META = "cells.parquet", "crops.bin", "masks.bin", "meta.json"
_AGAIN = "make the cells again (kedro run --pipelines=rbc_morphology --tags=cells)"


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
    """All cells of a source.

    Attributes:
        table: of schema `CropTable`, one row per cell.
        crops: `(N, S, S, 3) uint8` RGB, in the order of the table; read-only where mapped.
        masks: `(N, S, S) bool`; all False where the table says that there is none.
    """

    table: pd.DataFrame
    crops: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.table)

    @property
    def side_px(self) -> int:
        """Side of a crop."""
        return int(self.crops.shape[1])


def write_crops(folder: Path, cells: Iterable[Crop], side_px: int) -> CropSet:
    """Write cells as they come, one at a time, and rename the folder into place when all are there.

    Raises:
        DataContractError: a crop or mask has another size.
    """
    rows: list[dict[str, object]] = []
    with replaced_folder(folder) as new:
        with (new / CROPS).open("wb") as crops, (new / MASKS).open("wb") as masks:
            for cell in cells:
                _append(cell, side_px, crops, masks)
                rows.append({**cell.facts, "has_mask": cell.mask is not None})
        table = conform(CropTable, rows)
        table.to_parquet(new / TABLE, index=False)
        (new / META).write_text(json.dumps({"side_px": side_px, "cells": len(table)}))
    return read_crops(folder)


def _append(cell: Crop, side_px: int, crops: BinaryIO, masks: BinaryIO) -> None:
    mask = np.zeros((side_px, side_px), np.bool_) if cell.mask is None else cell.mask
    if cell.rgb.shape != (side_px, side_px, 3) or mask.shape != (side_px, side_px):
        raise DataContractError(
            "crop or mask of another size",
            where=str(cell.facts.get("cell_id")),
            expected=f"{side_px} px squares",
            got=f"{cell.rgb.shape} and {mask.shape}",
            remedy="look at the reader that made it",
        )
    crops.write(np.ascontiguousarray(cell.rgb, np.uint8).tobytes())
    masks.write(np.ascontiguousarray(mask, np.bool_).tobytes())


def read_crops(folder: Path) -> CropSet:
    """Map a folder of `write_crops` into memory.

    Raises:
        DataContractError: a part is missing, or the parts disagree in number.
    """
    missing = [name for name in (TABLE, CROPS, MASKS, META) if not (folder / name).is_file()]
    if missing:
        raise DataContractError(
            "folder of cells is incomplete", where=str(folder), got=f"no {', '.join(missing)}", remedy=_AGAIN
        )
    table, side = _table(folder)
    found = [(folder / name).stat().st_size for name in (CROPS, MASKS)]
    wanted = [len(table) * side * side * bands for bands in (3, 1)]
    if found != wanted:
        raise DataContractError(
            "table and crops disagree in number",
            where=str(folder),
            got=f"{found} bytes of crops and masks",
            expected=f"{wanted} for {len(table)} cells of {side} px",
            remedy=_AGAIN,
        )
    shape = (len(table), side, side)
    if not len(table):
        return CropSet(table, np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.bool_))
    crops = np.memmap(folder / CROPS, np.uint8, "r", shape=(*shape, 3))
    masks = np.memmap(folder / MASKS, np.bool_, "r", shape=shape)
    return CropSet(table, crops, masks)


def _table(folder: Path) -> tuple[pd.DataFrame, int]:
    """The table, and the side of a crop, px.

    Raises:
        DataContractError: one of the two is cut or damaged, or they disagree.
    """
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        side, cells = int(meta["side_px"]), int(meta["cells"])
        table = pd.read_parquet(folder / TABLE)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataContractError(
            "folder of cells is damaged",
            where=str(folder),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy=_AGAIN,
        ) from error
    if len(table) != cells:
        raise DataContractError(
            "table and crops disagree in number",
            where=str(folder),
            got=f"{len(table)} rows",
            expected=f"{cells} cells",
            remedy=_AGAIN,
        )
    return CropTable.validate(table), side
