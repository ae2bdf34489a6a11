"""What is counted, opened: an image of any size, a folder of images, or a grid of tiles; read tile by tile."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.files import write_atomically
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.counting.tiles import Grid, Place, cut_into_tiles, grids, tile_name
from blood_kedro.library.imaging.read import SUFFIXES, is_litter, read_rgb

RgbImage = npt.NDArray[np.uint8]
# Pillow refuses images beyond this as possible decompression bombs; here a whole slide is what one expects.
_MOST_PIXELS = 4_000_000_000
# Larger images are unpacked to the disk once, so that a worker needs the memory of a tile.
_UNPACKED_PIXELS = 40_000_000
_TIFF = {".tif", ".tiff"}


class Reader(Protocol):
    """Reads tiles of one smear; it can be sent to other processes."""

    def __call__(self, place: Place) -> RgbImage:
        """Pixels of a tile, `(H, W, 3) uint8` RGB."""


@dataclass(frozen=True)
class Smear:
    """One smear: its name, where its tiles lie, how to read one, and a hash of its files."""

    name: str
    grid: Grid
    read: Reader
    version: str


def open_smears(
    paths: Sequence[Path], tile_px: int, overlap_px: int, work_folder: Path, rejects: Rejects
) -> list[Smear]:
    """All smears of images, or of one folder; files that cannot be read go to rejects.

    Args:
        paths: images; or a single folder of images, or of tiles named `[<smear>_]<column>_<row>`.
        tile_px: side of the tiles that images are cut into.
        overlap_px: how much more each tile shows.
        work_folder: large compressed images are unpacked there.
        rejects: gets what cannot be read, and the holes of a grid.

    Raises:
        SourceNotFoundError: nothing is there, or nothing that could be read.
    """
    folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    listed = paths if folder is None else sorted(folder.iterdir())
    files = [p for p in listed if p.is_file() and p.suffix.lower() in SUFFIXES and not is_litter(Path(p.name))]
    as_grid = folder is not None and len(files) > 1 and all(tile_name(file.stem) for file in files)
    if as_grid and folder is not None:
        smears = _of_tiles(folder, files, rejects)
    else:
        smears = _of_images(files, tile_px, overlap_px, work_folder, rejects)
    if not smears:
        raise SourceNotFoundError(
            "no image to count", where=", ".join(str(p.absolute()) for p in paths[:3]),
            got="no such path" if not any(p.exists() for p in paths) else "no readable image",
            expected=f"an image, or a folder of images ({', '.join(sorted(SUFFIXES))})",
            remedy="correct sam_counting.input (or the path of the entry under sam_counting.inputs)",
        )  # fmt: skip
    return smears


def _of_images(files: list[Path], tile_px: int, overlap_px: int, work_folder: Path, rejects: Rejects) -> list[Smear]:
    names = [file.stem for file in files]
    smears = []
    for file in files:
        try:
            version = _hash([file])
            ready = _ready(file, version, work_folder)
            height, width = _pixels(ready).shape[:2]
        except BadInputError as error:
            rejects.add(file, "image", "dropped", error.what)
            continue
        # Two files of one folder may differ by their suffix alone.
        name = file.stem if names.count(file.stem) == 1 else file.name.replace(".", "_")
        smears.append(Smear(name, cut_into_tiles(width, height, tile_px, overlap_px), _Window(ready), version))
    return smears


def _of_tiles(folder: Path, files: list[Path], rejects: Rejects) -> list[Smear]:
    tiles, paths = {}, {}
    for file in files:
        try:
            tiles[file.stem], paths[file.stem] = read_rgb(file), file
        except BadInputError as error:
            rejects.add(file, "image", "dropped", error.what)
    found = []
    for grid in grids(tiles) if tiles else []:
        for missing in grid.missing:
            rejects.add(folder / missing, "image", "noted", "the grid has a hole here: its cells are not counted")
        own = [paths[place.name] for place in grid.places]
        found.append(Smear(grid.smear or folder.name, grid, _File(paths), _hash(own)))
    return found


@dataclass(frozen=True)
class _Window:
    file: Path

    def __call__(self, place: Place) -> RgbImage:
        window = _pixels(self.file)[place.top : place.top + place.height, place.left : place.left + place.width]
        return np.ascontiguousarray(window)


@dataclass(frozen=True)
class _File:
    paths: dict[str, Path]

    def __call__(self, place: Place) -> RgbImage:
        return read_rgb(self.paths[place.name])


@lru_cache(maxsize=1)
def _pixels(file: Path) -> RgbImage:
    """Pixels of an image, the last one kept; those of unpacked images and plain TIFF files stay on the disk.

    Raises:
        BadInputError: it cannot be read.
    """
    if file.suffix == ".npy":
        return np.asanyarray(np.load(file, mmap_mode="r"))
    mapped = _mapped_tiff(file)
    return read_rgb(file) if mapped is None else mapped


def _mapped_tiff(file: Path) -> RgbImage | None:
    if file.suffix.lower() not in _TIFF:
        return None
    try:
        mapped = tifffile.memmap(file, mode="r")
    except (ValueError, OSError, tifffile.TiffFileError):
        return None
    return mapped if mapped.dtype == np.uint8 and mapped.ndim == 3 and mapped.shape[2] == 3 else None


def _ready(file: Path, version: str, work_folder: Path) -> Path:
    """The file itself, or what it was unpacked to because it is large and cannot be read in parts.

    Raises:
        BadInputError: it cannot be read.
    """
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    try:
        with Image.open(file) as header:
            width, height = header.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInputError(f"image cannot be decoded: {error}", where=str(file)) from error
    if width * height <= _UNPACKED_PIXELS or _mapped_tiff(file) is not None:
        return file
    unpacked = work_folder / "unpacked" / f"{version}.npy"
    if not unpacked.is_file():
        # read_rgb turns what is not plain 8-bit RGB into it, in memory: 3 bytes for each pixel, and freed at once.
        write_atomically(unpacked, lambda path: np.save(path.open("wb"), read_rgb(file)))
    return unpacked


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
