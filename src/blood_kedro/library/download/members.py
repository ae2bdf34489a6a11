"""What an archive holds: files with content and a path that stays below a folder; all else is refused."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from blood_kedro.library.core.errors import UnsafeFileError

_CHUNK = 1 << 20
# More behind the end of a tar archive is no padding.
_MOST_AFTER_END = 1 << 28
# What file systems take for one name, bytes; and for a path below a folder that has a path of its own.
_LONGEST_NAME, _LONGEST_PATH, _DEEPEST = 255, 1000, 40
Member = tuple[str, tuple[str, ...], int, IO[bytes]]


def members(archive: Path) -> Iterator[Member]:
    """Name, path in safe parts, size as declared, and content of every file of a zip or tar archive.

    Raises:
        UnsafeFileError: it is neither, is encrypted, or holds a link, a device or a path that cannot be written to.
    """
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive)
    elif tarfile.is_tarfile(archive):
        yield from _of_tar(archive)
    else:
        with archive.open("rb") as file:
            head = file.read(60)
        raise UnsafeFileError(
            "what was downloaded is no archive",
            where=str(archive),
            got=f"starts with {head!r}",
            remedy="its home may have answered with a page: open the address in a browser",
        )


def _of_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            parts = _safe(info.filename, archive)
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise UnsafeFileError("archive holds a link or a device", where=f"{archive}: {info.filename}")
            if info.flag_bits & 1:
                raise UnsafeFileError(
                    "archive is encrypted", where=f"{archive}: {info.filename}", remedy="unpack it by hand"
                )
            with file.open(info) as source:
                yield info.filename, parts, info.file_size, source


def _of_tar(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as file:
        for info in file:
            parts = _safe(info.name, archive)
            if info.isdir():
                continue
            source = file.extractfile(info) if info.isfile() and not info.issparse() else None
            if source is None:
                raise UnsafeFileError(
                    "archive holds a link or a device", where=f"{archive}: {info.name}", expected="files with content"
                )
            with source:
                yield info.name, parts, info.size, source
        _read_to_the_end(file, archive)


def _read_to_the_end(file: tarfile.TarFile, archive: Path) -> None:
    """Tarfile stops at the end mark, before the checksum of a compressed archive: reading on compares it."""
    for _ in range(_MOST_AFTER_END // _CHUNK):
        if file.fileobj is None or not file.fileobj.read(_CHUNK):
            return
    raise UnsafeFileError("archive goes on after its end", where=str(archive), remedy="fetch it again")


def _safe(name: str, archive: Path) -> tuple[str, ...]:
    """Parts of a member's path.

    Raises:
        UnsafeFileError: it leads out of the folder, or no file system could hold it.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part != ".")
    shown = ascii(name[:100])
    if path.is_absolute() or ".." in parts or any(":" in part or "\0" in part for part in parts):
        raise UnsafeFileError("archive holds a path that leads out of its folder", where=f"{archive}: {shown}")
    try:
        longest = max((len(part.encode()) for part in parts), default=0)
    except UnicodeEncodeError as error:
        raise UnsafeFileError("archive holds a name that is no text", where=f"{archive}: {shown}") from error
    if longest > _LONGEST_NAME or len(parts) > _DEEPEST or len(name.encode()) > _LONGEST_PATH:
        raise UnsafeFileError(
            "archive holds a path that is too long",
            where=f"{archive}: {shown}",
            got=f"{len(name):,} characters in {len(parts)} folders",
            expected=f"names of {_LONGEST_NAME} bytes, paths of {_LONGEST_PATH} in {_DEEPEST} folders at most",
        )
    return parts
