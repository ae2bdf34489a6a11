"""Text, written whole."""

from __future__ import annotations

from pathlib import Path

from kedro_datasets._typing import JSONPreview

from blood_kedro.datasets.atomic import AtomicFileDataset
from blood_kedro.datasets.json_file import previewed


class TextFileDataset(AtomicFileDataset[str]):
    """A UTF-8 text file."""

    def _read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def _write(self, path: Path, data: str) -> None:
        path.write_text(data, encoding="utf-8")

    def preview(self) -> JSONPreview:
        """How long it is and how it begins, for kedro-viz."""
        text = self._read(self._filepath)
        return previewed({"characters": len(text), "begins": text})
