"""All cells of a source, read in parallel; what cannot be used goes to rejects with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from blood_kedro.library.cells import elsafty, ojaghi
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.cells.points import LabelledPoint, cells_at_points
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.tables import records
from blood_kedro.library.imaging.read import read_rgb

K = TypeVar("K")
# What a worker gives back: cells, and rejects as (path, reason, row).
_Result = tuple[list[Crop], list[tuple[str, str, int | None]]]


def elsafty_cells(folder: Path, options: CellOptions, side_px: int, rejects: RejectLog, seed: int) -> Iterator[Crop]:
    """Cells of the published data of Elmanna et al. 2024.

    Raises:
        SourceNotFoundError: there is no crop.
    """
    pairs = elsafty.pairs(folder, rejects)
    chosen = _sample([shape or "" for _, _, shape, _ in pairs], options.per_class, seed)
    blocks = [[pairs[k] for k in part] for part in np.array_split(chosen, max(1, len(chosen) // 256))]
    yield from _collected(in_processes(_ElsaftyBlock(folder, side_px), blocks, options.workers, ordered=True), rejects)


@dataclass(frozen=True)
class _ElsaftyBlock:
    folder: Path
    side_px: int

    def __call__(self, block: list[tuple[Path, Path | None, str | None, tuple[int, ...]]]) -> _Result:
        cells: list[Crop] = []
        rejects: list[tuple[str, str, int | None]] = []
        for image, mask, shape, numbers in block:
            try:
                cells.append(elsafty.read_cell(image, mask, shape, numbers, self.side_px))
            except BadInputError as error:
                rejects.append((image.relative_to(self.folder).as_posix(), error.what, None))
        return cells, rejects


def ojaghi_cells(
    folder: Path, tile_groups: Mapping[str, str], options: CellOptions, side_px: int, rejects: RejectLog, seed: int
) -> Iterator[Crop]:
    """Single cells of the tiles with SAM masks. `tile_groups`: of each tile, the one that stands for its group.

    All are of one class: `per_class` takes as many of each tile.

    Raises:
        SourceNotFoundError: there is no tile.
    """
    tiles = ojaghi.tiles(folder)
    most = None if options.per_class is None else math.ceil(options.per_class / len(tiles))
    work = _OjaghiTile(folder, _needed(options.crop_px, "crop_px"), side_px, most, seed)
    for cell in _collected(in_processes(work, tiles, options.workers, ordered=True), rejects):
        tile = str(cell.facts["image_id"]).removeprefix("ojaghi/")
        cell.facts["tile_group"] = f"ojaghi/{tile_groups[tile]}"
        yield cell


@dataclass(frozen=True)
class _OjaghiTile:
    folder: Path
    crop_px: int
    side_px: int
    most: int | None
    seed: int

    def __call__(self, tile: Path) -> _Result:
        rejects = RejectLog("ojaghi")
        cells = list(ojaghi.cells_of_tile(self.folder, tile, self.crop_px, self.side_px, rejects))
        cells = [cells[k] for k in _sample([tile.stem] * len(cells), self.most, self.seed)]
        return cells, [(str(row["path"]), str(row["reason"]), None) for row in rejects.rows]


def point_cells(
    folder: Path,
    index: pd.DataFrame,
    annotations: pd.DataFrame,
    groups: Groups,
    options: CellOptions,
    side_px: int,
    rejects: RejectLog,
    seed: int,
) -> Iterator[Crop]:
    """Cells around labelled points.

    Args:
        folder: of the source's images.
        index: image index of the source.
        annotations: its raw annotations; a point is the middle of its box.
        groups: of the images.
        options: settings; `crop_px` and `cell_px` are needed.
        side_px: side of a crop.
        rejects: collects what cannot be used.
        seed: of the draw, where `per_class` limits it.
    """
    labelled = annotations[~annotations["ignore"].astype(bool)].reset_index(drop=True)
    labelled = labelled.iloc[_sample(labelled["label"].tolist(), options.per_class, seed)]
    by_image = dict(tuple(labelled.groupby("image_id")))
    tasks = [
        (row["path"], _points(by_image[row["image_id"]]), _facts(row, groups))
        for row in records(index)
        if row["image_id"] in by_image
    ]
    work = _Field(folder, _needed(options.cell_px, "cell_px"), _needed(options.crop_px, "crop_px"), side_px)
    yield from _collected(in_processes(work, tasks, options.workers, ordered=True), rejects)


@dataclass(frozen=True)
class _Field:
    folder: Path
    cell_px: float
    crop_px: int
    side_px: int

    def __call__(self, task: tuple[str, list[LabelledPoint], dict[str, object]]) -> _Result:
        path, points, facts = task
        try:
            rgb = read_rgb(self.folder / path)
        except BadInputError as error:
            return [], [(path, error.what, None)]
        cells, rejects = cells_at_points(rgb, points, facts, self.cell_px, self.crop_px, self.side_px)
        return cells, [(path, reject.reason, reject.row) for reject in rejects]


def _points(rows: pd.DataFrame) -> list[LabelledPoint]:
    return [
        LabelledPoint(
            (row["x_min_px"] + row["x_max_px"]) / 2,
            (row["y_min_px"] + row["y_max_px"]) / 2,
            row["label_raw"],
            row["label"],
            int(row["annotation_id"].rpartition("#")[2]),
        )
        for row in records(rows)
    ]


def _facts(row: dict[str, object], groups: Groups) -> dict[str, object]:
    name = str(row["image_id"])
    return {"source": row["source"], "image_id": name, **groups.facts(name)}


def _sample(labels: list[str], per_class: int | None, seed: int) -> list[int]:
    """Indices of at most `per_class` of each label, in their order."""
    if per_class is None:
        return list(range(len(labels)))
    values, indices = np.array(labels), []
    for label in sorted(set(labels)):
        mine = np.flatnonzero(values == label)
        indices += np.random.default_rng(seed_for(seed, "cells", label)).permutation(mine)[:per_class].tolist()
    return sorted(indices)


def _collected(results: Iterable[_Result], rejects: RejectLog) -> Iterator[Crop]:
    for cells, rows in results:
        for path, reason, row in rows:
            rejects.add(path, "cell", "dropped", reason, row)
        yield from cells


def _needed(value: K | None, name: str) -> K:
    if value is None:
        raise ConfigurationError(f"{name} is needed to cut cells out of fields", where=f"morphology.cells: {name}")
    return value
