"""Images of any size, read in parts: what is large stays on the disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import write_atomically
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.read import FORMATS, SUFFIXES, is_litter, read_rgb

RgbImage = npt.NDArray[np.uint8]
# Pillow refuses images beyond this as possible decompression bombs; here a whole slide is what one expects.
_MOST_PIXELS = 4_000_000_000
# Larger images are unpacked to the disk once, so that a worker needs the memory of a tile.
_UNPACKED_PIXELS = 40_000_000
_TIFF = {".tif", ".tiff"}


def image_files(paths: Sequence[Path], rejects: Rejects) -> list[Path]:
    """Image files among paths, or in the only path if it is a folder, by suffix and in order of name.

    What else lies there is noted in the rejects, litter of operating systems aside.
    """
    listed = sorted(paths[0].iterdir()) if len(paths) == 1 and paths[0].is_dir() else paths
    used = []
    for path in listed:
        if is_litter(Path(path.name)):
            continue
        if path.is_dir():
            rejects.add(path, "image", "noted", "not used: folders in a folder are not searched")
        elif not path.is_file() or path.suffix.lower() not in SUFFIXES:
            rejects.add(path, "image", "noted", f"not used: no file of {', '.join(sorted(SUFFIXES))}")
        else:
            used.append(path)
    return used


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for each file, no two alike: without suffix, unless two of them differ by that alone."""
    stems = Counter(file.stem for file in files)
    names: list[str] = []
    taken = {stem for stem, count in stems.items() if count == 1}
    for file in files:
        name = file.stem if stems[file.stem] == 1 else file.name.replace(".", "_")
        while stems[file.stem] > 1 and name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return names


def version_of(files: Sequence[Path]) -> str:
    """Sixteen hex digits that stand for the content of files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def readable_in_parts(file: Path, version: str, work_folder: Path) -> Path:
    """The file itself, or what it was unpacked to because it is large and cannot be read in parts.

    Raises:
        BadInputError: it cannot be read.
    """
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    try:
        with Image.open(file, formats=FORMATS) as header:
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


@lru_cache(maxsize=1)
def pixels_of(file: Path) -> RgbImage:
    """Pixels of a file of `readable_in_parts`, `(H, W, 3) uint8` RGB, the last one kept.

    Those of unpacked images and plain TIFF files stay on the disk.

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
