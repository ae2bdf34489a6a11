"""What is counted, opened: an image of any size, a slide, a folder of them, or a grid of tiles; read tile by tile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.limits import RED_CELL_UM
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.tiles import Grid, Place, cut_into_tiles, grids, make_grids
from blood_kedro.library.imaging.large import image_files, is_read_as_slide, names_of, opened, pixels_of, version_of
from blood_kedro.library.imaging.pixel_size import um_per_px
from blood_kedro.library.imaging.read import SUFFIXES, read_rgb
from blood_kedro.library.imaging.slide import (
    SLIDE_SUFFIXES,
    Slide,
    is_several_files,
    read_slide,
    slide_version,
    window_of,
)

RgbImage = npt.NDArray[np.uint8]


Layout = Literal["auto", "grid", "pictures"]
# Of a slide, the smallest level is read on which a usual red cell is at least so wide: it comes to the detector, which
# sees red cells of 48 px, enlarged by no more than 1.7. At 0.25 um for a px (40x objectives) they are 29 px wide.
LEAST_CELL_PX = 28


class Reader(Protocol):
    """Reads tiles of one smear; it can be sent to other processes."""

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile, `(H, W, 3) uint8` RGB."""


@dataclass(frozen=True)
class Smear:
    """One smear.

    Attributes:
        name: of the smear.
        grid: where its tiles lie; of a slide, perhaps those alone that are fit for counting.
        read: reads one of them.
        version: a hash of its files.
        file: name of its only file, empty for a grid of tiles.
        um_per_px: micrometres for a pixel of it, by its file; NaN where that says nothing.
        scale_from: where the file says it; empty likewise.
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
            expected=f"an image, or a folder of images ({', '.join(sorted(SUFFIXES | SLIDE_SUFFIXES))})",
            remedy="correct sam_counting.input (or the path of the entry under sam_counting.inputs)",
        )
    return smears


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _of_images(files: list[Path], tile_px: int, overlap_px: int, work_folder: Path, rejects: RejectLog) -> list[Smear]:
    smears = []
    for file, name in zip(files, names_of(files), strict=True):
        try:
            if is_read_as_slide(file):
                smears.append(_of_slide(file, name, tile_px, overlap_px))
                continue
        except BadInputError as error:
            rejects.add(file, "image", "dropped", error.what)
            continue
        picture = opened(file, work_folder, rejects)
        if picture is None:
            continue
        grid = cut_into_tiles(picture.width_px, picture.height_px, tile_px, overlap_px)
        smears.append(Smear(name, grid, WindowReader(picture.file), picture.version, file.name, *_scale_of(file)))
    return smears


def _of_slide(file: Path, name: str, tile_px: int, overlap_px: int) -> Smear:
    slide = read_slide(file)
    um, place = _scale_of(file)
    number = counting_level(slide, um)
    level = slide.levels[number]
    version = slide_version(file) if is_several_files(file) else version_of([file])
    grid = cut_into_tiles(level.width_px, level.height_px, tile_px, overlap_px)
    version = f"{version}-level-{number}"
    return Smear(name, grid, SlideReader(file, number), version, file.name, um * level.downsample, place)


def _scale_of(file: Path) -> tuple[float, str]:
    """Micrometres for a pixel, and where that stands; what cannot be understood says nothing, and is no reject."""
    unknown = float("nan"), ""
    try:
        return um_per_px(file) or unknown
    except BadInputError:
        return unknown


def counting_level(slide: Slide, um_per_largest_px: float) -> int:
    """The smallest level on which red cells are wide enough to be counted; the largest where their width is not known.

    Args:
        slide: any.
        um_per_largest_px: micrometres for a pixel of its largest level, or NaN.
    """
    widths = [RED_CELL_UM / (um_per_largest_px * level.downsample) for level in slide.levels]
    enough = [number for number, width in enumerate(widths) if width >= LEAST_CELL_PX]
    return max(enough, default=0)


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
class SlideReader:
    """Tiles that are windows of one level of a slide, decoded one by one: nothing of it is kept."""

    file: Path
    level: int

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile; BadInputError where they cannot be decoded."""
        box = (place.left, place.top, place.left + place.width, place.top + place.height)
        return window_of(self.file, self.level, box)


@dataclass(frozen=True)
class TileReader:
    """Tiles that are files of their own, by name."""

    paths: dict[str, Path]

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile; BadInputError where its file cannot be read."""
        return read_rgb(self.paths[place.name])
