"""JSON, written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro_datasets._typing import JSONPreview

from blood_kedro.datasets.atomic import AtomicFileDataset


class JsonFileDataset(AtomicFileDataset[Any]):
    """A JSON file (UTF-8). NaN is refused: it is not JSON."""

    def _read(self, path: Path) -> Any:  # noqa: ANN401
        return json.loads(path.read_text(encoding="utf-8"))

    def _write(self, path: Path, data: Any) -> None:  # noqa: ANN401
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    def preview(self) -> JSONPreview:
        """The first part of the file, for kedro-viz."""
        return JSONPreview(json.dumps(json.loads(self._filepath.read_text(encoding="utf-8")))[:2000])
