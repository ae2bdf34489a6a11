"""Base of file datasets that are never half-written and may say "not there yet"."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io.core import AbstractDataset, DatasetError

from blood_kedro.library.core.errors import BloodKedroError, DataContractError
from blood_kedro.library.core.files import write_atomically

T = TypeVar("T")


class AtomicFileDataset(AbstractDataset[T, T | None], Generic[T]):
    """One local file, written under a temporary name and renamed.

    Args:
        filepath: the file.
        optional: load None where the file does not exist, instead of failing. For results that `reporting` adds when
            their pipeline has run.
        metadata: ignored here; kedro-viz reads it.
    """

    def __init__(self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    @abstractmethod
    def _read(self, path: Path) -> T: ...

    @abstractmethod
    def _write(self, path: Path, data: T) -> None: ...

    def load(self) -> T | None:
        """The content, or None if it is optional and missing.

        Raises:
            DatasetError: it is missing.
            DataContractError: it is cut or damaged.
        """
        if not self._filepath.is_file():
            if self._optional:
                return None
            raise DatasetError(f"{self._filepath} does not exist: run the pipeline that makes it first")
        try:
            return self._read(self._filepath)
        except BloodKedroError:
            raise
        except Exception as error:  # each format has its own kinds for a file that is cut or damaged
            raise DataContractError(
                "a saved result cannot be read",
                where=str(self._filepath),
                got=f"{type(error).__name__}: {str(error)[:200]}",
                remedy="run the pipeline that makes it again",
            ) from error

    def save(self, data: T) -> None:
        """Write the whole content or nothing."""
        write_atomically(self._filepath, lambda path: self._write(path, data))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "optional": self._optional}
