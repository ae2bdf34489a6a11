"""Writing files and folders so that a reader never sees half of one, and anybody whom the umask allows may read them.

What is being written has a temporary name that says by which process (`.part-<machine>-<process>-<start>-...`), so that
the next run can tell what a killed one left from what another one is writing right now, and removes it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

PART = ".part-"
# What another machine began to write is left alone for so long: nobody here can tell whether it is still at work.
_ABANDONED_S = 24 * 3600.0
_READABLE = 0o666
# Folders that this process has cleared of what killed ones left: that is done once, whatever is in them later.
_swept: set[Path] = set()


def no_regular_file(path: Path) -> str | None:
    """Why a path is not a file that can be read: a folder, a pipe, a device, a link that leads nowhere; else None."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISREG(mode):
        return None
    return "a folder, no file" if stat.S_ISDIR(mode) else "a pipe, socket or device, no file"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it there.

    A crash leaves either the old file or none. The temporary name keeps the suffix, because writers choose
    their format by it. The mode is what the umask says, whatever `write` makes of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_once(path.parent)
    temporary = temporary_name(path.parent, path.suffix)
    mode = _new_file_mode(temporary)
    try:
        write(temporary)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write bytes so that a reader sees all of them or none."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder to fill; at the end it stands where `folder` did, and what that held is gone.

    An error leaves the old folder as it was. So does a kill; where the file system cannot exchange two names at once
    (Linux on a local disk can), a kill between two renames may leave none.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_once(folder.parent)
    temporary = temporary_name(folder.parent)
    temporary.mkdir()
    try:
        yield temporary
        mode = temporary.stat().st_mode & _READABLE
        for path in temporary.rglob("*"):  # some writers make files that only their owner may read
            if path.is_file() and not path.is_symlink():
                path.chmod(mode)
        _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_folder(folder: Path, target: Path) -> None:
    """Let the files of a folder stand in `target`, too, with no second copy where the disk can do that.

    Nothing is made of a folder that is not there, or empty.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_file():
            target.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target / path.name)
            except OSError:  # another disk, or one without links
                shutil.copy(path, target / path.name)


def temporary_name(folder: Path, suffix: str = "") -> Path:
    """A name in a folder that nothing has, and that says which process uses it."""
    return folder / f"{PART}{_owner()}-{secrets.token_hex(4)}{suffix}"


def sweep_once(folder: Path) -> None:
    """`sweep` a folder, the first time that this process writes into it."""
    if folder.absolute() not in _swept:
        _swept.add(folder.absolute())
        sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; what a living one is writing stays."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(PART)]
    except OSError:
        return
    for name in names:
        if not _alive(folder / name):
            remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there and can be removed."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _new_file_mode(path: Path) -> int:
    """Make an empty file and give its mode: the umask cannot be asked for without changing it for all threads."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _READABLE)
    try:
        return os.fstat(handle).st_mode & 0o777
    finally:
        os.close(handle)


def _take_place(new: Path, folder: Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        new.replace(folder)
    elif not _exchanged(new, folder):
        aside = temporary_name(folder.parent)
        folder.replace(aside)
        new.replace(folder)
        remove(aside)
    # Where names were exchanged, the temporary one is now that of the old folder, and its caller removes it.
    if new.is_symlink() or new.is_file():
        new.unlink()


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that cannot be had."""
    at_working_folder, exchange = -100, 2
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    status: int = rename(at_working_folder, names[0], at_working_folder, names[1], ctypes.c_uint(exchange))
    return status == 0


def _owner() -> str:
    """This machine, this process, and when it started: numbers of processes are used again, in containers at once."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


@cache  # the name of a machine is asked for with each file
def _machine() -> str:
    return sha256(socket.gethostname().encode()).hexdigest()[:8]


def _started(process: int) -> str:
    """When a process started, in ticks since the machine did; `0` where nobody says."""
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def _alive(path: Path) -> bool:
    """Whether whoever has begun to write something may still be at it."""
    machine, process, started, *_ = [*path.name.removeprefix(PART).split("-"), "", "", ""]
    if not (len(machine) == 8 and process.isdigit() and started.isdigit()):
        return False  # of a version that did not say who
    if machine != _machine():
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime < _ABANDONED_S
        return False
    try:
        os.kill(int(process), 0)
    except OSError as error:
        return error.errno == errno.EPERM
    except OverflowError:
        return False
    return started in {"0", _started(int(process))}
