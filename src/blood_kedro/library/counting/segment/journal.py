"""Finished tiles on the disk: the masks of each, and what later steps want to see of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import pandas as pd

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.files import remove, write_atomically
from blood_kedro.library.core.masks import decode_rle, encode_rle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.pieces import Piece

logger = logging.getLogger(__name__)

_DONE, _FAILED = ".parquet", ".failed.parquet"
_COLUMNS = ["left", "top", "width", "height", "counts", "score", "kind"]


def write_tile(folder: Path, name: str, pieces: Sequence[Piece], log: Mapping[str, object], rejects: RejectLog) -> None:
    """Keep the masks of a tile, run-length encoded; one whose log has an error is tried again by the next run."""
    table = table_of(pieces)
    table.attrs["log"] = dict(log)
    table.attrs["rejects"] = [[str(row["path"]), str(row["reason"])] for row in rejects.rows]
    _write(folder / f"{name}{_FAILED if log['error'] else _DONE}", table)


def read_tile(folder: Path, name: str) -> pd.DataFrame:
    """The table of a tile that was tried: `attrs` hold its `log` and `rejects`; `pieces_of` gives its masks."""
    file = folder / f"{name}{_DONE}"
    return _masks(file if file.is_file() else folder / f"{name}{_FAILED}")


def has_masks(folder: Path, name: str) -> bool:
    """Whether a finished tile can be read; one that is cut or damaged is removed, and the log says so."""
    return _whole(folder / f"{name}{_DONE}", lambda path: pieces_of(_masks(path)))


def has_failed(folder: Path, name: str) -> bool:
    """Whether a tile that was tried has no masks because it could not be read or segmented."""
    return not (folder / f"{name}{_DONE}").is_file()


def table_of(pieces: Sequence[Piece]) -> pd.DataFrame:
    """Masks as a table, run-length encoded."""
    rows = [(p.left, p.top, p.mask.shape[1], p.mask.shape[0], encode_rle(p.mask), p.score, p.kind) for p in pieces]
    return pd.DataFrame(rows, columns=_COLUMNS)


def pieces_of(table: pd.DataFrame) -> list[Piece]:
    """Masks of a tile, px of the smear."""
    rows = zip(*(table[name].tolist() for name in _COLUMNS), strict=True)
    return [
        Piece(int(left), int(top), decode_rle(str(counts), int(height), int(width)), float(score), kind)
        for left, top, width, height, counts, score, kind in rows
    ]


class KeptTiles(Sequence[list[Piece]]):
    """Masks of the tiles of a smear, px of it, read when they are asked for: those of a whole slide take gigabytes.

    Args:
        folder: of the finished tiles.
        names: of the tiles.
        held: masks of the first few of them, which are not read again.
    """

    def __init__(self, folder: Path, names: Sequence[str], held: Sequence[list[Piece]] = ()) -> None:
        self._folder, self._names, self._held = folder, names, held

    def __len__(self) -> int:
        """How many tiles."""
        return len(self._names)

    @overload
    def __getitem__(self, k: int) -> list[Piece]: ...

    @overload
    def __getitem__(self, k: slice) -> list[list[Piece]]: ...

    def __getitem__(self, k: int | slice) -> list[Piece] | list[list[Piece]]:
        """Masks of a tile, or of several, px of the smear."""
        if isinstance(k, slice):
            return [self[number] for number in range(len(self))[k]]
        name, number = self._names[k], range(len(self))[k]
        return self._held[number] if number < len(self._held) else pieces_of(read_tile(self._folder, name))


def write_look(folder: Path, name: str, look: str, table: pd.DataFrame) -> None:
    """Keep what a step wants to see of a tile."""
    _write(_look(folder, name, look), table)


def has_look(folder: Path, name: str, look: str) -> bool:
    """As `has_masks`."""
    return _whole(_look(folder, name, look), _read)


def read_look(folder: Path, name: str, look: str) -> pd.DataFrame | None:
    """What a step wanted to see of a tile; None of a tile that could not be read.

    Raises:
        DataContractError: tiles were segmented for other steps.
    """
    path = _look(folder, name, look)
    try:
        return _read(path)
    except FileNotFoundError as error:
        if has_failed(folder, name):
            return None
        raise DataContractError(
            f"nothing is kept of a tile for {look}",
            where=str(path),
            got="tiles that were segmented with other options",
            remedy="run the input from its node segment on: kedro run --from-nodes=<input>.segment",
        ) from error


def _look(folder: Path, name: str, look: str) -> Path:
    return folder / look / f"{name}{_DONE}"


def _write(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, lambda part: table.to_parquet(part, index=False, write_page_checksum=True))


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, page_checksum_verification=True)


def _masks(path: Path) -> pd.DataFrame:
    """A tile's table, checked against the sums beside its pages.

    Raises:
        ValueError: it is another table.
    """
    table = _read(path)
    if list(table.columns) != _COLUMNS or not isinstance(table.attrs.get("log"), dict) or "rejects" not in table.attrs:
        raise ValueError("no table of masks")
    return table


def _whole(path: Path, read: Callable[[Path], Any]) -> bool:
    if not path.exists():
        return False
    try:
        read(path)
    except Exception as error:  # pyarrow raises many kinds for a file that is cut or is another one
        logger.warning("tile %s is damaged and done again: %s: %s", path, type(error).__name__, str(error)[:200])
        remove(path)
        return False
    return True
