"""From tiles to masks: contrast, segmenter, filter; each finished tile is kept, so that a killed run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.processes import in_processes, on_cluster
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.counting.options import SegmentationOptions, SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment import journal
from blood_kedro.library.counting.segment.cells_among_masks import cells_among
from blood_kedro.library.counting.segment.looks import Look, SeenTile
from blood_kedro.library.counting.segment.segmenter import Segment

RgbImage = npt.NDArray[np.uint8]
# Masks of so many tiles are held, some tens of MB, so that small smears are read once.
_HELD_TILES = 64
# Told after each tile how many are done, of how many.
OnTile = Callable[[tuple[int, int]], None]


@dataclass(frozen=True)
class SmearMasks:
    """Masks of a smear.

    Attributes:
        pieces: of each place of its grid those inside its core, px of the smear; of a slide, most are read each time
            they are asked for.
        log: one row per tile: `tile, seconds, found, kept, brightened_by, error`, and how many masks each rule dropped.
    """

    pieces: Sequence[Sequence[Piece]]
    log: pd.DataFrame


def segment_smears(
    smears: Sequence[Smear],
    options: SmearInput,
    segment: Segment,
    work_folder: Path,
    rejects: RejectLog,
    looks: Sequence[Look] = (),
    on_tile: OnTile | None = None,
) -> pd.DataFrame:
    """Segment every tile of every smear that is not done yet, and take what later steps want to see of it.

    A tile that failed is a reject, and is tried again by the next run. A finished tile of which a later step wants to
    see more than an earlier run has kept is read again, not segmented again.

    Args:
        smears: opened.
        options: how.
        segment: the segmenter.
        work_folder: keeps finished tiles.
        rejects: gets tiles that could not be read, and masks that could not be used.
        looks: what later steps want to see.
        on_tile: told what is done; tiles of an earlier run are done at the start.

    Returns:
        One row per tile: `smear`, `folder` (below `work_folder`, for `read_tiles`: its name stands for the smear's
        files, its tiles and all that decides their masks), and the columns of `SmearMasks.log`.
    """
    folders = [work_folder / name for name in _folder_names(smears, options, segment)]
    tasks = []
    for smear, folder in zip(smears, folders, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        tasks += [task for place in smear.grid.places if (task := _task(smear, place, folder, looks)) is not None]
    work, total = _Work(options, segment), sum(len(smear.grid.places) for smear in smears)
    for done, _ in enumerate(_worked(work, tasks, options), start=total - len(tasks) + 1):
        if on_tile is not None:
            on_tile((done, total))
    logs = []
    for smear, folder in zip(smears, folders, strict=True):
        said = [journal.read_tile(folder, place.name).attrs for place in smear.grid.places]
        for each in said:
            if each["log"]["error"]:
                name = f"{smear.name}/{each['log']['tile']}"
                rejects.add(name, "image", "dropped", str(each["log"]["error"]))
        for path, reason in (pair for each in said for pair in each["rejects"]):
            rejects.add(str(path), "cell", "dropped", str(reason))
        logs.append(pd.DataFrame([each["log"] for each in said]).assign(smear=smear.name, folder=folder.name))
    return pd.concat(logs, ignore_index=True)


def _worked(work: _Work, tasks: Sequence[_Task], options: SmearInput) -> Iterable[None]:
    """Works off tasks where that is fastest; one item for each that is done."""
    # A few tiles are done sooner than processes have started.
    if getattr(work.segment, "in_one_process", False) or len(tasks) <= 2:
        return map(work, tasks)
    if options.cluster:
        return on_cluster(work, tasks, options.cluster)
    return in_processes(work, tasks, options.workers or -1, ordered=False)


def read_tiles(smear: Smear, folder: Path) -> SmearMasks:
    """The masks of a smear all of whose tiles were tried; one that failed has none, and its error in the log."""
    log: list[dict[str, Any]] = []
    held: list[list[Piece]] = []
    for place in smear.grid.places:
        table = journal.read_tile(folder, place.name)
        log.append(table.attrs["log"])
        if len(held) < _HELD_TILES:
            held.append(journal.pieces_of(table))
    return SmearMasks(journal.KeptTiles(folder, [place.name for place in smear.grid.places], held), pd.DataFrame(log))


def folders_of(segmented: pd.DataFrame, work_folder: Path) -> dict[str, Path]:
    """The folder of finished tiles of each smear."""
    return {
        str(name): work_folder / str(folder) for name, folder in segmented.groupby("smear")["folder"].first().items()
    }


def _folder_names(smears: Sequence[Smear], options: SmearInput, segment: Segment) -> list[str]:
    settings = options.model_dump(mode="json", include=set(SegmentationOptions.model_fields))
    if not options.segmenter_options:
        del settings["segmenter_options"]  # tiles of before there were any are taken over
    settings["files"] = state_of(getattr(segment, "rests_on", None))
    settings["weights"] = getattr(segment, "weights_sha256", None)
    cores = [[list(place.core_xyxy_px) for place in smear.grid.places] for smear in smears]
    return [fingerprint([s.name, s.version, settings, core]) for s, core in zip(smears, cores, strict=True)]


def state_of(folder: Path | None) -> list[list[object]]:
    """Files that a segmenter works with, and when they were last changed: other masks or weights, other results."""
    if folder is None or not folder.is_dir():
        return []
    files = ((entry.path, entry.stat()) for entry in _files(folder))
    return sorted([path, stat.st_size, stat.st_mtime_ns] for path, stat in files)


def _files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Files below a folder; a folder of masks holds thousands, for which pathlib takes five times as long."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file():
                yield entry


@dataclass(frozen=True)
class _Task:
    smear: Smear
    place: Place
    folder: Path
    has_masks: bool
    looks: tuple[Look, ...]


def _task(smear: Smear, place: Place, folder: Path, looks: Sequence[Look]) -> _Task | None:
    """What is still to be done of a tile."""
    has_masks = journal.has_masks(folder, place.name)
    wanted = [look for look in looks if look.wants(smear, place)]
    missing = [look for look in wanted if not (has_masks and journal.has_look(folder, place.name, look.name))]
    return None if has_masks and not missing else _Task(smear, place, folder, has_masks, tuple(missing))


@dataclass(frozen=True)
class _Work:
    options: SmearInput
    segment: Segment

    def __call__(self, task: _Task) -> None:
        place, folder = task.place, task.folder
        if task.has_masks:
            known = journal.pieces_of(journal.read_tile(folder, place.name))
            tile = SeenTile(task.smear, place, task.smear.read(place), self.options)
        else:
            known, seen = self._segmented(task)
            if seen is None:
                return
            tile = seen
        pieces = [each.moved(-place.left, -place.top) for each in known]
        for look in task.looks:
            journal.write_look(folder, place.name, look.name, look(tile, pieces))

    def _segmented(self, task: _Task) -> tuple[list[Piece], SeenTile | None]:
        """The masks of a tile, px of the smear, which are kept; and the tile, unless it cannot be read."""
        place, start = task.place, time.perf_counter()
        log: dict[str, object] = {"tile": place.name, "error": "", "found": 0, "kept": 0, "brightened_by": 0.0}
        cells: list[Piece] = []
        rejects = RejectLog(place.name)
        tile: SeenTile | None = None
        try:
            tile = SeenTile(task.smear, place, task.smear.read(place), self.options)
            rgb, by = tile.prepared
            masks = self.segment(place.name, rgb, rejects)
            cells, dropped = cells_among(masks, rgb, self.options)
            log |= {"brightened_by": by, "found": len(masks), "kept": len(cells), **dropped}
        except BadInputError as error:
            log["error"] = error.what
        moved = (each.moved(place.left, place.top).clipped(place.core_xyxy_px) for each in cells)
        pieces = [each for each in moved if each is not None]
        journal.write_tile(task.folder, place.name, pieces, {**log, "seconds": time.perf_counter() - start}, rejects)
        return pieces, tile
