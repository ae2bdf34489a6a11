"""What is counted, opened: an image of any size, a folder of images, or a grid of tiles; read tile by tile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.tiles import Grid, Place, cut_into_tiles, grids, make_grids
from blood_kedro.library.imaging.large import image_files, names_of, opened, pixels_of, version_of
from blood_kedro.library.imaging.read import SUFFIXES, read_rgb

RgbImage = npt.NDArray[np.uint8]


Layout = Literal["auto", "grid", "pictures"]


class Reader(Protocol):
    """Reads tiles of one smear; it can be sent to other processes."""

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile, `(H, W, 3) uint8` RGB."""


@dataclass(frozen=True)
class Smear:
    """One smear: its name, where its tiles lie, how to read one, a hash of its files, and the name of its only file.

    A grid of tiles has no such name: `file` is empty.
    """

    name: str
    grid: Grid
    read: Reader
    version: str
    file: str = ""
    um_per_px: float = float("nan")
    scale_from: str = ""


def open_smears(
    paths: Sequence[Path], tile_px: int, overlap_px: int, work_folder: Path, rejects: RejectLog, layout: Layout = "auto"
) -> list[Smear]:
    """All smears of images, or of one folder; files that cannot be read go to rejects.

    Args:
        paths: images; or a single folder of images, or of tiles named `[<smear>_]<column>_<row>`.
        tile_px: side of the tiles that images are cut into.
        overlap_px: how much more each tile shows.
        work_folder: large compressed images are unpacked there.
        rejects: gets what cannot be read, and the holes of a grid.
        layout: whether a folder holds tiles of a `grid` or single `pictures`; `auto` takes names for places in a grid
            only where they fill half of it.

    Raises:
        SourceNotFoundError: nothing is there, or nothing that could be read.
        BadInputError: files are to be a grid, and their names or sizes do not make one.
    """
    folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    files = image_files(paths, rejects)
    as_grid = layout == "grid" or (layout == "auto" and make_grids([file.stem for file in files]))
    if as_grid and folder is not None:
        smears = _of_tiles(folder, files, rejects)
    else:
        smears = _of_images(files, tile_px, overlap_px, work_folder, rejects)
    if not smears:
        said = rejects.reasons()
        raise SourceNotFoundError(
            "no image to count",
            where=", ".join(str(p.absolute()) for p in paths[:3]),
            got="; ".join(filter(None, ["no readable image" if any(map(_is_there, paths)) else "no such path", said])),
            expected=f"an image, or a folder of images ({', '.join(sorted(SUFFIXES))})",
            remedy="correct sam_counting.input (or the path of the entry under sam_counting.inputs)",
        )
    return smears


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _of_images(files: list[Path], tile_px: int, overlap_px: int, work_folder: Path, rejects: RejectLog) -> list[Smear]:
    smears = []
    for file, name in zip(files, names_of(files), strict=True):
        picture = opened(file, work_folder, rejects)
        if picture is None:
            continue
        grid = cut_into_tiles(picture.width_px, picture.height_px, tile_px, overlap_px)
        smears.append(Smear(name, grid, WindowReader(picture.file), picture.version, file.name))
    return smears


def _of_tiles(folder: Path, files: list[Path], rejects: RejectLog) -> list[Smear]:
    sizes, paths = {}, {}
    for file in files:
        try:
            height, width = read_rgb(file).shape[:2]
            sizes[file.stem], paths[file.stem] = (height, width), file
        except BadInputError as error:
            rejects.add(file, "image", "dropped", error.what)
    smears = []
    for grid in grids(sizes, lambda name: read_rgb(paths[name])) if sizes else []:
        for missing in grid.missing:
            rejects.add(folder / missing, "image", "noted", "the grid has a hole here: its cells are not counted")
        tile_files = [paths[place.name] for place in grid.places]
        smears.append(Smear(grid.smear or folder.name, grid, TileReader(paths), version_of(tile_files)))
    return smears


@dataclass(frozen=True)
class WindowReader:
    """Tiles that are windows of one picture: `file` is one of `imaging.large.opened`."""

    file: Path

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile, copied."""
        window = pixels_of(self.file)[place.top : place.top + place.height, place.left : place.left + place.width]
        return np.ascontiguousarray(window)


@dataclass(frozen=True)
class TileReader:
    """Tiles that are files of their own, by name."""

    paths: dict[str, Path]

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile; BadInputError where its file cannot be read."""
        return read_rgb(self.paths[place.name])
