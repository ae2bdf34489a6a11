"""Archives from strangers: nothing is written outside of the folder, no link is made, and sizes are bounded."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from blood_kedro.library.core.errors import UnsafeFileError

_CHUNK = 1 << 20


@dataclass
class Budget:
    """What unpacking may use: `files`, and `megabytes` as written, whatever the archive says of itself."""

    files: int = 200_000
    megabytes: float = 20_000
    _used: float = field(default=0, init=False)
    _made: int = field(default=0, init=False)

    def file(self, where: Path) -> None:
        """Count a file.

        Raises:
            UnsafeFileError: there are too many.
        """
        self._made += 1
        if self._made > self.files:
            raise UnsafeFileError(f"archive holds more than {self.files} files", where=str(where))

    def wrote(self, count: int, where: Path) -> None:
        """Count bytes.

        Raises:
            UnsafeFileError: there are too many.
        """
        self._used += count
        if self._used > self.megabytes * 1e6:
            raise UnsafeFileError(
                f"archive unpacks to more than {self.megabytes:g} MB", where=str(where),
                remedy="raise download.max_unpacked_mb if the set really is that large",
            )  # fmt: skip


def unpack(archive: Path, folder: Path, budget: Budget, strip: int = 0) -> None:
    """Unpack a zip or tar file into a folder, without its first `strip` levels.

    Raises:
        UnsafeFileError: it holds a path out of the folder, a link, a device, is encrypted, is no archive, or is too
            large; what was written until then stays for the caller to remove.
    """
    try:
        for parts, source in _members(archive):
            if len(parts) > strip:
                budget.file(archive)
                _write(source, folder.joinpath(*parts[strip:]), budget, archive)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UnsafeFileError("archive is damaged", where=str(archive), got=str(error)) from error


def _write(source: IO[bytes], target: Path, budget: Budget, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            budget.wrote(len(chunk), archive)
            file.write(chunk)


def unpack_inner(folder: Path, budget: Budget) -> None:
    """Unpack archives that lie in a folder into folders of their own name, and remove them."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and _is_archive(p)):
        unpack(path, path.with_suffix(""), budget)
        path.unlink()


def keep_only(folder: Path, name: str) -> None:
    """Make the folder called `name`, wherever it lies below, the only content.

    Raises:
        UnsafeFileError: there is none.
    """
    # An archive of that name that holds a folder of that name was unpacked into both: the deepest is meant.
    found = sorted((p for p in folder.rglob(name) if p.is_dir()), key=lambda p: -len(p.parts))
    if not found:
        raise UnsafeFileError("the archive does not hold what it should", where=str(folder), expected=f"folder {name}")
    aside = folder.with_name(f"{folder.name}.kept")
    found[0].replace(aside)
    shutil.rmtree(folder)
    folder.mkdir()
    aside.replace(folder / name)


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz", ".xz"} and (
        zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    )


def _members(archive: Path) -> Iterator[tuple[tuple[str, ...], IO[bytes]]]:
    """Path, in safe parts, and content of every file of an archive."""
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive)
    elif tarfile.is_tarfile(archive):
        yield from _of_tar(archive)
    else:
        head = archive.read_bytes()[:60]
        raise UnsafeFileError(
            "what was downloaded is no archive", where=str(archive), got=f"starts with {head!r}",
            remedy="its home may have answered with a page: open the address in a browser",
        )  # fmt: skip


def _of_zip(archive: Path) -> Iterator[tuple[tuple[str, ...], IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            parts = _safe(info.filename, archive)
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UnsafeFileError("archive holds a link", where=f"{archive}: {info.filename}")
            if info.flag_bits & 1:
                raise UnsafeFileError("archive is encrypted", where=f"{archive}: {info.filename}")
            with file.open(info) as source:
                yield parts, source


def _of_tar(archive: Path) -> Iterator[tuple[tuple[str, ...], IO[bytes]]]:
    with tarfile.open(archive) as file:
        for info in file:
            parts = _safe(info.name, archive)
            if info.isdir():
                continue
            source = file.extractfile(info) if info.isfile() else None
            if source is None:
                raise UnsafeFileError("archive holds a link or a device", where=f"{archive}: {info.name}")
            with source:
                yield parts, source


def _safe(name: str, archive: Path) -> tuple[str, ...]:
    """Parts of a member's path.

    Raises:
        UnsafeFileError: it leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part != ".")
    if path.is_absolute() or ".." in parts or any(":" in part or "\0" in part for part in parts):
        raise UnsafeFileError("archive holds a path that leads out of its folder", where=f"{archive}: {name}")
    return parts
