"""What all results of an environment rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets._typing import JSONPreview

from blood_kedro.datasets.json_file import previewed
from blood_kedro.library.core.records import Record, read_all


class RecordsDataset(AbstractDataset[None, dict[str, Record]]):
    """The records below a folder of results, by dataset. A hook writes them, one with each result."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Record]:
        """As they are now; none before anything was saved."""
        return read_all(self._filepath)

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refused: each record is written with its result."""
        raise DatasetError("records are written with the results that they belong to")

    def preview(self) -> JSONPreview:
        """Node, environment and date of the first ones, for kedro-viz."""
        records = read_all(self._filepath)
        return previewed({name: f"{r.node}, {r.environment}, {r.made}" for name, r in records.items()})

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "must_exist": False}
