"""Archives from strangers: nothing is written outside of the folder, no link is made, and sizes are bounded."""

from __future__ import annotations

import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from blood_kedro.library.core.errors import BloodKedroError, DownloadError, UnsafeFileError
from blood_kedro.library.core.files import temporary_name
from blood_kedro.library.core.text_files import no_regular_file

_CHUNK = 1 << 20
# More behind the end of a tar archive is no padding.
_MOST_AFTER_END = 1 << 28
# What file systems take for one name, bytes; and for a path below a folder that has a path of its own.
_LONGEST_NAME, _LONGEST_PATH, _DEEPEST = 255, 1000, 40
_Member = tuple[str, tuple[str, ...], int, IO[bytes]]


@dataclass
class Budget:
    """What unpacking may use: `files`, and `megabytes` as written, whatever the archive says of itself."""

    files: int = 200_000
    megabytes: float = 20_000
    _used: float = field(default=0, init=False)
    _made: int = field(default=0, init=False)

    def file(self, where: Path, declared_bytes: int = 0) -> None:
        """Count a file.

        Raises:
            UnsafeFileError: there are too many, or this one says that it is too large.
        """
        self._made += 1
        if self._made > self.files:
            raise UnsafeFileError(f"archive holds more than {self.files} files", where=str(where))
        if self._used + declared_bytes > self.megabytes * 1e6:
            raise self._too_large(where)

    def wrote(self, count: int, where: Path) -> None:
        """Count bytes.

        Raises:
            UnsafeFileError: there are too many.
        """
        self._used += count
        if self._used > self.megabytes * 1e6:
            raise self._too_large(where)

    def _too_large(self, where: Path) -> UnsafeFileError:
        return UnsafeFileError(
            f"archive unpacks to more than {self.megabytes:g} MB", where=str(where),
            remedy="raise download.max_unpacked_mb if the set really is that large",
        )  # fmt: skip


@dataclass
class _Names:
    """Paths that were taken, so that no file takes the place of another, on file systems without capitals neither."""

    files: dict[tuple[str, ...], str] = field(default_factory=dict)
    folders: dict[tuple[str, ...], str] = field(default_factory=dict)

    def take(self, parts: tuple[str, ...], name: str, archive: Path) -> None:
        """Note a file.

        Raises:
            UnsafeFileError: another member of the archive is in its place.
        """
        key = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        above = [key[:k] for k in range(1, len(key))]
        other = self.files.get(key) or self.folders.get(key)
        other = other or next((self.files[each] for each in above if each in self.files), None)
        if other is not None:
            raise UnsafeFileError(
                "archive holds two things under one name", where=str(archive), got=f"{other} and {name}",
                expected="names that differ by more than capitals, and no folder with the name of a file",
                remedy="unpack it by hand into the folder of the set",
            )  # fmt: skip
        self.files[key] = name
        self.folders.update(dict.fromkeys(above, name))


def unpack(archive: Path, folder: Path, budget: Budget, strip: int = 0) -> None:
    """Unpack a zip or tar file into a folder, without its first `strip` levels.

    Raises:
        UnsafeFileError: it holds a path out of the folder, a link, a device, two files of one name, a name that cannot
            be written, or no file at all; it is encrypted, damaged, no archive, or too large. What was written until
            then stays for the caller to remove.
        DownloadError: the disk takes no more.
    """
    if (reason := no_regular_file(archive)) is not None:
        raise UnsafeFileError("archive cannot be read", where=str(archive), got=reason, expected="a file")
    names = _Names()
    try:
        for name, parts, declared, source in _members(archive):
            if len(parts) > strip:
                names.take(parts[strip:], name, archive)
                budget.file(archive, declared)
                _write(source, folder.joinpath(*parts[strip:]), budget, archive)
    except BloodKedroError:
        raise
    except Exception as error:  # zipfile and tarfile raise a dozen kinds for what they cannot read
        raise UnsafeFileError(
            "archive is damaged, or of a kind that cannot be read", where=str(archive),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy="fetch it again; or unpack it by hand into the folder of the set",
        ) from error  # fmt: skip
    if not names.files:
        raise UnsafeFileError(
            "archive holds no file", where=str(archive), expected=f"files below {strip} folders" if strip else "files",
            remedy="look at its home: the set may have moved",
        )  # fmt: skip


def _write(source: IO[bytes], target: Path, budget: Budget, archive: Path) -> None:
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")  # what another archive has put there stays
    with file:
        while chunk := source.read(_CHUNK):
            budget.wrote(len(chunk), archive)
            with _disk(target):
                file.write(chunk)


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(
            "a file of an archive cannot be written", where=str(target), got=f"{type(error).__name__}: {error}",
            remedy="make room, or name another raw_root; files of one name in two archives need to be unpacked by hand",
        ) from error  # fmt: skip


def unpack_inner(folder: Path, budget: Budget) -> None:
    """Unpack archives that lie in a folder into folders of their own name, and remove them.

    Those inside of these stay as they are.

    Raises:
        UnsafeFileError, DownloadError: as `unpack`.
    """
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
        raise UnsafeFileError(
            "the archive does not hold what it should", where=str(folder), expected=f"folder {name}",
            remedy="look at its home: the set may have moved or changed",
        )  # fmt: skip
    aside = temporary_name(folder.parent)
    found[0].replace(aside)
    shutil.rmtree(folder)
    folder.mkdir()
    aside.replace(folder / name)


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz", ".xz"} and (
        zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    )


def _members(archive: Path) -> Iterator[_Member]:
    """Name, path in safe parts, size as declared, and content of every file of an archive."""
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive)
    elif tarfile.is_tarfile(archive):
        yield from _of_tar(archive)
    else:
        with archive.open("rb") as file:
            head = file.read(60)
        raise UnsafeFileError(
            "what was downloaded is no archive", where=str(archive), got=f"starts with {head!r}",
            remedy="its home may have answered with a page: open the address in a browser",
        )  # fmt: skip


def _of_zip(archive: Path) -> Iterator[_Member]:
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


def _of_tar(archive: Path) -> Iterator[_Member]:
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
            "archive holds a path that is too long", where=f"{archive}: {shown}",
            got=f"{len(name):,} characters in {len(parts)} folders",
            expected=f"names of {_LONGEST_NAME} bytes, paths of {_LONGEST_PATH} in {_DEEPEST} folders at most",
        )  # fmt: skip
    return parts
