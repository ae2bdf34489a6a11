"""What a reader of crops is: it yields the cells of one set, each in the middle of a square."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import pandas as pd

from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.registry import Choice
from blood_kedro.library.core.reject_log import RejectLog

CellOptionsT = TypeVar("CellOptionsT", bound=CellOptions)


@dataclass(frozen=True)
class SetToRead:
    """What a reader gets of its set.

    Attributes:
        folder: of its files; None where the reader needs none.
        index: image index, where the reader asks for the tables of a source; likewise the others.
        annotations: raw annotations.
        groups: of the images, schema `ImageGroups`.
    """

    folder: Path | None = None
    index: pd.DataFrame | None = None
    annotations: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None

    @property
    def files(self) -> Path:
        """The folder, by a reader that asked for it."""
        return _asked_for(self.folder)

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Index, annotations and groups, by a reader that asked for them."""
        return _asked_for(self.index), _asked_for(self.annotations), _asked_for(self.groups)


class CropReader(Choice[CellOptionsT]):
    """Reads the cells of one set.

    Attributes:
        reads_files: whether it needs the folder of the set.
        reads_tables: whether it needs the tables that ingestion makes of a source: index, annotations, groups.
        published_set: the set below `raw_root` that it reads and that no source of boxes reads; None where its files
            are those of the entry's own name.
    """

    Options: ClassVar[type[CellOptions]] = CellOptions
    reads_files: ClassVar[bool] = True
    reads_tables: ClassVar[bool] = False
    published_set: ClassVar[str | None] = None

    @abstractmethod
    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:
        """Cells, in an order that depends on the set and the seed alone.

        Args:
            set_to_read: the set.
            side_px: side of a crop.
            seed: of what is drawn.
            rejects: collects what cannot be used.

        Raises:
            SourceNotFoundError: the folder holds nothing to read.
        """


T = TypeVar("T")


def _asked_for(value: T | None) -> T:
    if value is None:
        raise TypeError("a reader uses files or tables that its class does not ask for (reads_files, reads_tables)")
    return value
