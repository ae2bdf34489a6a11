"""Where a command writes: a folder that is its own, and work beside it that a killed run goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blood_kedro.library.core.errors import OutputError
from blood_kedro.library.core.files import PART


def checked_folder(folder: Path) -> Path:
    """The folder of results, absolute; nothing of it is touched yet.

    Raises:
        OutputError: it holds something that no run of these commands writes, or is no folder.
    """
    folder = folder.expanduser().absolute()
    if folder.is_dir():
        strangers = sorted(path.name for path in folder.iterdir() if not _is_ours(path.name))
        if strangers:
            raise OutputError(
                "the folder of the results holds other files, and would be replaced",
                where=str(folder),
                got=", ".join(strangers[:3]),
                expected="a new or empty folder, or one of an earlier run",
                remedy="name another folder with --out",
            )
    elif folder.exists() or folder.is_symlink():
        raise OutputError("the results need a folder, and a file is there", where=str(folder), remedy="see --out")
    return folder


def _is_ours(name: str) -> bool:
    """Whether a run leaves files of this name, or a killed one did."""
    from blood_kedro.library.reporting.picture_pages import CELLS, COCO, COUNTS, OVERLAYS, PAGE
    from blood_kedro.library.reporting.read_out_page import FIGURES, MAPS, MASKS, PICTURES

    return name in {CELLS, COCO, COUNTS, OVERLAYS, PAGE, FIGURES, MASKS, PICTURES} or name.startswith((MAPS, PART))


@contextmanager
def work_beside(folder: Path) -> Iterator[Path]:
    """A folder for finished tiles beside that of the results: removed at the end, kept by an error or a kill.

    The same command then goes on where it stopped.
    """
    work = folder.with_name(f".{folder.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    yield work
    shutil.rmtree(work, ignore_errors=True)
