"""The temporary folder of the page: uploads and results, gone after an hour, and when the page is stopped."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

KEPT_S = 3600
_PREFIX = "blood-kedro-app-"


def private_folder() -> Path:
    """A new folder that goes when this process ends, by a signal too; those of killed processes are swept."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = left.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdecimal() and not _runs(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    owner = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner}-"))

    def remove() -> None:
        if os.getpid() == owner:  # and not in a process that was forked off
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda signal_number, _: sys.exit(128 + signal_number))
    return folder


def sweep(folder: Path) -> None:
    """Delete what has been in a folder for longer than an hour."""
    for each in folder.iterdir():
        with contextlib.suppress(OSError):  # another request was first
            if time.time() - each.stat().st_mtime > KEPT_S:
                shutil.rmtree(each)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
