"""From tiles to masks: contrast, segmenter, filter; each finished tile is kept, so that a killed run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import remove, write_atomically
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.masks import decode_rle, encode_rle
from blood_kedro.library.core.processes import in_processes, on_cluster
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.counting.contrast import brightened, equalised
from blood_kedro.library.counting.filters import REASONS, filter_as_published, filter_pieces, single_area
from blood_kedro.library.counting.options import Segmentation, SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.precomputed import read_masks
from blood_kedro.library.counting.smear import Smear
from blood_kedro.library.counting.tiles import Place
from blood_kedro.library.counting.watershed import watershed_pieces
from blood_kedro.library.imaging.segmentation import flat_field_green

logger = logging.getLogger(__name__)

RgbImage = npt.NDArray[np.uint8]
# Name and pixels of a tile to its masks; what cannot be used goes to the rejects.
Segment = Callable[[str, RgbImage, Rejects], list[Piece]]
_DONE, _FAILED = ".parquet", ".failed.parquet"
_COLUMNS = ["left", "top", "width", "height", "counts", "score", "kind"]


@dataclass(frozen=True)
class Masks:
    """Masks of a smear.

    Attributes:
        pieces: of each place of its grid those inside its core, px of the smear.
        log: one row per tile: `tile, seconds, found, kept, brightened_by, error`, and how many masks each rule dropped.
        rejects: path and reason of what segmenters could not use.
    """

    pieces: list[list[Piece]]
    log: pd.DataFrame
    rejects: list[tuple[str, str]]


def segment_smears(
    smears: Sequence[Smear], options: SmearInput, segment: Segment, work_folder: Path
) -> list[tuple[Smear, Path]]:
    """Segment every tile of every smear that is not done yet.

    Returns:
        Each smear and the folder of its finished tiles, for `read_tiles`. The folder's name stands for the smear's
        files, its tiles and all that decides their masks. A tile that failed is tried again by the next run.
    """
    kept = options.model_dump(mode="json", include=set(Segmentation.model_fields))
    kept["files"] = _state(options)
    kept["weights"] = getattr(segment, "weights_sha256", None)  # of a segmenter that carries its own
    folders = []
    for smear in smears:
        cores = [list(place.core_xyxy_px) for place in smear.grid.places]
        folders.append((smear, work_folder / fingerprint([smear.name, smear.version, kept, cores])))
    tasks = []
    for smear, folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        tasks += [(smear, p, folder) for p in smear.grid.places if not _whole(folder / f"{p.name}{_DONE}")]
    work = _Tile(options, segment)
    # One SAM, which may be on a GPU; a few tiles are done sooner than processes have started.
    if options.segmenter == "sam" or len(tasks) <= 2:
        for task in tasks:
            work(task)
    elif options.cluster:
        for _ in on_cluster(work, tasks, options.cluster):
            pass
    else:
        for _ in in_processes(work, tasks, options.workers or -1, ordered=False):
            pass
    return folders


def _state(options: Segmentation) -> list[list[object]]:
    """Files that the segmenter works with, and when they were last changed: other masks or weights, other results."""
    named = {"precomputed": options.masks, "unet": options.model, "sam": options.sam.checkpoint}.get(options.segmenter)
    if named is None or not Path(named).is_dir():
        return []
    files = ((path, path.stat()) for path in Path(named).rglob("*") if path.is_file())
    return sorted([path.as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in files)


def read_tiles(smear: Smear, folder: Path) -> Masks:
    """The masks of a smear all of whose tiles were tried; one that failed has none, and its error in the log."""
    tables = []
    for place in smear.grid.places:
        done, failed = (folder / f"{place.name}{suffix}" for suffix in (_DONE, _FAILED))
        tables.append(_read(done if done.is_file() else failed))
    rejects = [(str(path), str(reason)) for table in tables for path, reason in table.attrs["rejects"]]
    return Masks([list(_pieces(t)) for t in tables], pd.DataFrame([t.attrs["log"] for t in tables]), rejects)


def _whole(path: Path) -> bool:
    """Whether a finished tile is there and can be read; one that is cut or damaged is removed, and the log says so."""
    if not path.exists():
        return False
    try:
        for _ in _pieces(_read(path)):
            pass
    except Exception as error:  # pyarrow raises many kinds for a file that is cut or is another one
        logger.warning("tile %s is damaged and done again: %s: %s", path, type(error).__name__, str(error)[:200])
        remove(path)
        return False
    return True


def _read(path: Path) -> pd.DataFrame:
    """A tile's table, checked against the sums beside its pages.

    Raises:
        ValueError: it is another table.
    """
    table = pd.read_parquet(path, page_checksum_verification=True)
    if list(table.columns) != _COLUMNS or not isinstance(table.attrs.get("log"), dict) or "rejects" not in table.attrs:
        raise ValueError("no table of masks")
    return table


def _pieces(table: pd.DataFrame) -> Iterator[Piece]:
    for row in table.itertuples():
        mask = decode_rle(str(row.counts), int(row.height), int(row.width))  # type: ignore[arg-type]
        yield Piece(int(row.left), int(row.top), mask, float(row.score), row.kind)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Tile:
    options: SmearInput
    segment: Segment

    def __call__(self, task: tuple[Smear, Place, Path]) -> None:
        smear, place, folder = task
        start = time.perf_counter()
        log: dict[str, object] = {"tile": place.name, "error": "", "found": 0, "kept": 0, "brightened_by": 0.0}
        kept: list[Piece] = []
        rejects = Rejects(place.name)
        try:
            rgb, by = prepared(smear.read(place), self.options)
            found = self.segment(place.name, rgb, rejects)
            kept, dropped = filtered(found, rgb, self.options)
            log |= {"brightened_by": by, "found": len(found), "kept": len(kept), **dropped}
        except BadInputError as error:
            log["error"] = error.what
        moved = [each.moved(place.left, place.top).clipped(place.core_xyxy_px) for each in kept]
        rows = [
            (p.left, p.top, p.mask.shape[1], p.mask.shape[0], encode_rle(p.mask), p.score, p.kind)
            for p in moved
            if p is not None
        ]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        table.attrs["log"] = {**log, "seconds": time.perf_counter() - start}
        table.attrs["rejects"] = [[str(row["path"]), str(row["reason"])] for row in rejects.rows]
        suffix = _FAILED if log["error"] else _DONE
        write_atomically(
            folder / f"{place.name}{suffix}", lambda path: table.to_parquet(path, index=False, write_page_checksum=True)
        )


def prepared(rgb: RgbImage, options: Segmentation) -> tuple[RgbImage, float]:
    """A tile as segmenter and classifier see it, and by how many levels it was brightened."""
    bright, by = brightened(rgb, options.min_brightness)
    return (equalised(bright) if options.clahe else bright), by


def filtered(found: Sequence[Piece], rgb: RgbImage, options: Segmentation) -> tuple[list[Piece], dict[str, int]]:
    """What is left of the masks of a tile by the rule that the options name, and how many each rule dropped."""
    height, width = rgb.shape[:2]
    if found and all(each.kind is not None for each in found):  # a detector's, which has judged them itself
        return list(found), dict.fromkeys(REASONS, 0)
    if options.filter_rule == "published":
        kept = filter_as_published(found, height, width)
        return kept, {"published": len(found) - len(kept)}
    absorbance = -np.log(np.clip(flat_field_green(rgb), 0.05, 2))
    # Spots that may be platelets stay until the classifier has seen them.
    limits = options.filter.model_copy(update={"min_area": min(options.min_platelet, options.filter.min_area)})
    return filter_pieces(found, limits, height, width, np.asarray(absorbance, np.float32), options.cell_px)


def without_spots(pieces: Sequence[Piece], height_px: int, width_px: int, options: Segmentation) -> list[Piece]:
    """Masks of a tile that are large enough for a cell, or that the tile's border cuts."""
    least = options.filter.min_area * single_area(options.cell_px)
    return [
        each
        for each in pieces
        if each.area_px2 >= least
        or 0 in each.box_xyxy_px[:2]
        or each.box_xyxy_px[2] == width_px
        or each.box_xyxy_px[3] == height_px
    ]


@dataclass(frozen=True)
class Watershed:
    """The classical segmenter."""

    options: Segmentation

    def __call__(self, _name: str, rgb: RgbImage, _rejects: Rejects) -> list[Piece]:
        """Cells of a tile; one that is narrower than a quarter of a cell has none."""
        if min(rgb.shape[:2]) < self.options.cell_px / 4:
            return []
        return watershed_pieces(rgb, self.options.watershed.model_copy(update={"cell_px": self.options.cell_px}))


@dataclass(frozen=True)
class Precomputed:
    """Masks that lie in `<folder>/<tile>/`."""

    folder: Path

    def __call__(self, name: str, rgb: RgbImage, rejects: Rejects) -> list[Piece]:
        """Masks of a tile.

        Raises:
            BadInputError: there is no folder of this tile.
        """
        folder = self.folder / name
        if not folder.is_dir():
            raise BadInputError("tile without masks", where=str(folder))
        return read_masks(folder, rgb.shape[0], rgb.shape[1], rejects)
