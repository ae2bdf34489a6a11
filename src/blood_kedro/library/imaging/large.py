"""Images of any size, read in parts: what is large stays on the disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from blood_kedro.library.core.distinct import distinct, on_any_disk
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.decode import decode, size_of
from blood_kedro.library.imaging.files import SUFFIXES, check_file, is_litter, reading
from blood_kedro.library.imaging.pixels import Decoded, RgbImage
from blood_kedro.library.imaging.slide import SLIDE_SUFFIXES, is_slide
from blood_kedro.library.imaging.tiff import map_tiff
from blood_kedro.library.imaging.tiff_layout import is_tiff

# Raise this whenever the pixels of a given file change: what was unpacked and counted before is then done again.
_READING = b"2"
# Larger images are unpacked to the disk once, so that a worker needs the memory of a tile.
_UNPACKED_PIXELS = 40_000_000


def image_files(paths: Sequence[Path], rejects: RejectLog) -> list[Path]:
    """Pictures and slides among paths, or in the only path if it is a folder, by suffix and in order of name.

    What else lies there is noted in the rejects, litter of operating systems aside; what is named like a picture and is
    no file of one (a folder, a pipe, a link to itself) is dropped there.
    """
    listed = sorted(paths[0].iterdir()) if len(paths) == 1 and paths[0].is_dir() else paths
    known = SUFFIXES | SLIDE_SUFFIXES
    files = []
    for path in listed:
        if is_litter(Path(path.name)) or (path.is_dir() and path.with_suffix(".mrxs") in listed):
            continue
        if path.suffix.lower() not in known:
            reason = (
                "folders in a folder are not searched" if path.is_dir() else f"no file of {', '.join(sorted(known))}"
            )
            rejects.add(path, "image", "noted", f"not used: {reason}")
            continue
        try:
            check_file(path)
        except BadInputError as error:
            rejects.add(path, "image", "dropped", error.what)
        else:
            files.append(path)
    return files


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for each file, no two alike on any disk: without suffix, unless two of them differ by that alone."""
    longer = [file.name.replace(".", "_") for file in files]
    numbered = [f"{name}_{number}" for number, name in enumerate(longer, start=1)]  # of several folders, perhaps
    return distinct(distinct([file.stem for file in files], longer, on_any_disk), numbered, on_any_disk)


def version_of(files: Sequence[Path]) -> str:
    """Sixteen hex digits that stand for the content of files, and for how they are read.

    Raises:
        BadInputError: one cannot be read.
    """
    digest = hashlib.sha256(_READING)
    for file in files:
        with reading(file):
            check_file(file)
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def is_read_as_slide(file: Path) -> bool:
    """Whether counting reads a file as a slide, tile by tile: `imaging.slide.is_slide`.

    Raises:
        BadInputError: it cannot be opened.
    """
    return is_slide(file, _UNPACKED_PIXELS)


def is_held_whole(file: Path) -> bool:
    """Whether counting holds a picture in memory; a slide, and what has more than 40 million pixels, stays on the disk.

    Raises:
        BadInputError: it cannot be opened.
    """
    if is_read_as_slide(file) or _mapped(file) is not None:
        return False
    return math.prod(size_of(file)) <= _UNPACKED_PIXELS


@dataclass(frozen=True)
class Opened:
    """A picture that can be read in parts, by `pixels_of(file)`: its size as viewed, and a version of its content."""

    file: Path
    width_px: int
    height_px: int
    version: str


def opened(file: Path, work_folder: Path, rejects: RejectLog) -> Opened | None:
    """A picture of any size, opened; None where it cannot be read, which is a reject.

    What of the file is not used, and how more than 8 bits were read, is noted in the rejects.

    Args:
        file: the picture.
        work_folder: what is large and cannot be read in parts is unpacked there once.
        rejects: see above.
    """
    try:
        with reading(file):
            picture, notes = _opened(file, work_folder)
    except BadInputError as error:
        rejects.add(file, "image", "dropped", error.what)
        return None
    for note in notes:
        rejects.add(file, "image", "noted", note)
    return picture


def _opened(file: Path, work_folder: Path) -> tuple[Opened, list[str]]:
    check_file(file)
    if file.suffix.lower() in SLIDE_SUFFIXES:  # an MRXS would show its thumbnail
        raise BadInputError("a slide of a scanner is counted (make count), not read whole", where=str(file))
    mapped = _mapped(file)
    if mapped is not None:
        height, width = mapped[0].shape[:2]
        return Opened(file, width, height, version_of([file])), list(mapped[1])
    width, height = size_of(file)  # by the header: a bomb is refused before its file is read whole
    version = version_of([file])
    if width * height <= _UNPACKED_PIXELS:
        decoded = _decoded(file, _state(file))
        return Opened(file, decoded.rgb.shape[1], decoded.rgb.shape[0], version), _notes(decoded)
    unpacked = work_folder / "unpacked" / f"{version}.npy"
    notes = unpacked.with_suffix(".json")
    if not (_is_whole(unpacked, width, height) and notes.is_file()):
        # What is not plain 8-bit RGB becomes it in memory: 3 bytes for each pixel, and freed at once.
        decoded = decode(file)
        write_bytes_atomically(notes, json.dumps(_notes(decoded)).encode())
        write_atomically(unpacked, lambda path: np.save(path.open("wb"), decoded.rgb))
    noted: list[str] = json.loads(notes.read_text(encoding="utf-8"))
    return Opened(unpacked, width, height, version), noted


def _is_whole(unpacked: Path, width_px: int, height_px: int) -> bool:
    try:
        return bool(np.load(unpacked, mmap_mode="r").shape == (height_px, width_px, 3))
    except (OSError, ValueError):
        return False


def _notes(decoded: Decoded) -> list[str]:
    return [*decoded.unused, *([decoded.levels] if decoded.levels else [])]


def pixels_of(file: Path) -> RgbImage:
    """Pixels of a file of `opened`, `(H, W, 3) uint8` RGB, the last one kept.

    Those of unpacked pictures and large plain TIFF files stay on the disk.

    Raises:
        BadInputError: it cannot be read.
    """
    check_file(file)
    state = _state(file)
    on_disk = _pixels_on_disk(file, state)
    return _decoded(file, state).rgb if on_disk is None else on_disk


def _state(file: Path) -> tuple[int, ...]:
    """What tells a file from another one of its name: a picture is kept for a file, not for a path."""
    status = file.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _pixels_on_disk(file: Path, _state: tuple[int, ...]) -> RgbImage | None:
    if file.suffix == ".npy":
        unpacked: RgbImage = np.load(file, mmap_mode="r")
        return unpacked
    with reading(file):
        mapped = _mapped(file)
    return None if mapped is None else mapped[0]


@lru_cache(maxsize=1)
def _decoded(file: Path, _state: tuple[int, ...]) -> Decoded:
    return decode(file)


def _mapped(file: Path) -> tuple[RgbImage, tuple[str, ...]] | None:
    """The picture of a large TIFF that can stay on the disk."""
    check_file(file)
    mapped = map_tiff(file) if is_tiff(file) else None
    return mapped if mapped is not None and mapped[0].size > 3 * _UNPACKED_PIXELS else None
