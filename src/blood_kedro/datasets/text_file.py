"""Text, written whole."""

from __future__ import annotations

from pathlib import Path

from blood_kedro.datasets.atomic import AtomicFileDataset


class TextFileDataset(AtomicFileDataset[str]):
    """A UTF-8 text file."""

    def _read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def _write(self, path: Path, data: str) -> None:
        path.write_text(data, encoding="utf-8")
