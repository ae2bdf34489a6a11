"""One bad label file never ends a run: whatever goes wrong while it is read is its reject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.sources.listing import labels_in

T = TypeVar("T")


def reason_of(error: Exception) -> str:
    """Why a file could not be read, as a reason for rejects."""
    if isinstance(error, BadInputError):
        return error.what
    return f"cannot be read: {type(error).__name__}: {error}"


def read_labels(
    image: Path, path: Path, folder: Path, read: Callable[[Path, Path, RejectLog], T], rejects: RejectLog
) -> T | None:
    """What `read` makes of the label file `path` of `image`; None, with rejects of both, where it fails.

    `read` takes the file, the name that rejects have for it, and the rejects.

    Raises:
        BadInputError: `rejects` are strict.
    """
    shown = path.relative_to(folder)
    try:
        return read(path, shown, rejects)
    except Exception as error:
        if rejects.strict and isinstance(error, BadInputError) and error.where:
            raise  # of `rejects`, which knows the row
        rejects.add(shown, "label_file", "dropped", reason_of(error), labels=labels_in(path))
        rejects.add(image.relative_to(folder), "image", "dropped", "its label file cannot be read")
        return None
