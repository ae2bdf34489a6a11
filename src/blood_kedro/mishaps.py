"""What the world does to a run (full disks, servers that are away) as errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from blood_kedro.library.core.errors import BloodKedroError, DataContractError, OutputError, TrackingError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_FULL_WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_OF_TRACKING = {"mlflow", "requests", "sqlalchemy", "sqlite3", "urllib3"}
_TRACKING_REMEDY = (
    "see that MLFLOW_TRACKING_URI names a tracking server that is up, or unset it: runs then go into mlruns.db here"
)


def as_ours(error: BaseException) -> BloodKedroError | None:
    """The error with what to do about it, where it or one that caused it is such a mishap; else None."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, BloodKedroError):
            return _of_dataset(each, chain)
    full = [each for each in chain if _is_full(each)]
    if full:
        return OutputError(
            "the disk is full",
            where=_where(full),
            got=_line(full[-1]),
            remedy="free some space and start the same command again: what was finished is kept",
        )
    for each in reversed(chain):
        if type(each).__module__.partition(".")[0] in _OF_TRACKING:
            return TrackingError("the run cannot be tracked", got=_line(each), remedy=_TRACKING_REMEDY)
        if isinstance(each, OSError) and each.errno in _FORBIDDEN:
            return OutputError(
                "a file or folder must not be read or written",
                where=_where([each]),
                got=_line(each),
                remedy="give yourself the right to it (ls -ld shows whose it is), or take another folder",
            )
        if isinstance(each, OSError) and each.errno in _IN_THE_WAY:
            return OutputError(
                "something stands where a result is to be written",
                where=_where([each]),
                got=_line(each),
                remedy="move it away",
            )
    return None


def _of_dataset(error: BloodKedroError, chain: list[BaseException]) -> BloodKedroError:
    """A broken schema with the dataset that has it: a schema does not know it, Kedro, which asked it, does."""
    if isinstance(error, DataContractError) and not error.where:
        from kedro.validation.exceptions import DataValidationError  # not before: the front door has no Kedro

        for each in chain:
            if isinstance(each, DataValidationError) and each.dataset_name:
                where = f"dataset {each.dataset_name}, on {each.mode}"
                return DataContractError(
                    error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy
                )
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, then what caused it, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in _FULL) or any(word in str(error) for word in _FULL_WORDS)


def _where(errors: list[BaseException]) -> str:
    names = [str(each.filename) for each in errors if isinstance(each, OSError) and each.filename is not None]
    return names[-1] if names else str(Path.cwd())


def _line(error: BaseException) -> str:
    """Its message on one line, of a length that can be read."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
