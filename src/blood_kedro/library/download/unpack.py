"""Archives from strangers: nothing is written outside of the folder, no link is made, and sizes are bounded."""

from __future__ import annotations

import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from blood_kedro.library.core.errors import BloodKedroError, DownloadError, UnsafeFileError
from blood_kedro.library.core.files import no_regular_file, temporary_name
from blood_kedro.library.download.members import members

_CHUNK = 1 << 20


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
            f"archive unpacks to more than {self.megabytes:g} MB",
            where=str(where),
            remedy="raise download.max_unpacked_mb if the set really is that large",
        )


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
                "archive holds two things under one name",
                where=str(archive),
                got=f"{other} and {name}",
                expected="names that differ by more than capitals, and no folder with the name of a file",
                remedy="unpack it by hand into the folder of the set",
            )
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
        for name, parts, declared, source in members(archive):
            if len(parts) > strip:
                names.take(parts[strip:], name, archive)
                budget.file(archive, declared)
                _write(source, folder.joinpath(*parts[strip:]), budget, archive)
    except BloodKedroError:
        raise
    except Exception as error:  # zipfile and tarfile raise a dozen kinds for what they cannot read
        raise UnsafeFileError(
            "archive is damaged, or of a kind that cannot be read",
            where=str(archive),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy="fetch it again; or unpack it by hand into the folder of the set",
        ) from error
    if not names.files:
        raise UnsafeFileError(
            "archive holds no file",
            where=str(archive),
            expected=f"files below {strip} folders" if strip else "files",
            remedy="look at its home: the set may have moved",
        )


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
            "a file of an archive cannot be written",
            where=str(target),
            got=f"{type(error).__name__}: {error}",
            remedy="make room, or name another raw_root; files of one name in two archives need to be unpacked by hand",
        ) from error


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
    folders = sorted((p for p in folder.rglob(name) if p.is_dir()), key=lambda p: -len(p.parts))
    if not folders:
        raise UnsafeFileError(
            "the archive does not hold what it should",
            where=str(folder),
            expected=f"folder {name}",
            remedy="look at its home: the set may have moved or changed",
        )
    aside = temporary_name(folder.parent)
    folders[0].replace(aside)
    shutil.rmtree(folder)
    folder.mkdir()
    aside.replace(folder / name)


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz", ".xz"} and (
        zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    )
