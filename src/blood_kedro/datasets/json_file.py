"""JSON, written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro_datasets._typing import JSONPreview

from blood_kedro.datasets.atomic import AtomicFileDataset

# Entries of a list or object, and characters of a text, that a preview shows.
_ENTRIES, _CHARACTERS = 30, 300


def previewed(value: Any) -> JSONPreview:  # noqa: ANN401 - JSON-like
    """A document of any size as a short one that is still JSON: kedro-viz parses it."""
    return JSONPreview(json.dumps(_shortened(value)))


def _shortened(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        entries = {key: _shortened(entry) for key, entry in list(value.items())[:_ENTRIES]}
        return entries | ({"…": f"{len(value) - _ENTRIES} more"} if len(value) > _ENTRIES else {})
    if isinstance(value, list):
        elements = [_shortened(entry) for entry in value[:_ENTRIES]]
        return elements + ([f"… {len(value) - _ENTRIES} more"] if len(value) > _ENTRIES else [])
    return value[:_CHARACTERS] + "…" if isinstance(value, str) and len(value) > _CHARACTERS else value


class JsonFileDataset(AtomicFileDataset[Any]):
    """A JSON file (UTF-8). NaN is refused: it is not JSON."""

    def _read(self, path: Path) -> Any:  # noqa: ANN401
        return json.loads(path.read_text(encoding="utf-8"))

    def _write(self, path: Path, data: Any) -> None:  # noqa: ANN401
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    def preview(self) -> JSONPreview:
        """The first part of the file, for kedro-viz."""
        return previewed(json.loads(self._filepath.read_text(encoding="utf-8")))
