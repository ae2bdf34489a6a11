"""Figures as PNG files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_datasets._typing import ImagePreview

from blood_kedro.datasets.atomic import AtomicFileDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FigureDataset(AtomicFileDataset["Figure | bytes"]):
    """Saves a matplotlib figure as PNG; loads the bytes of the file."""

    def _read(self, path: Path) -> bytes:
        return path.read_bytes()

    def _write(self, path: Path, data: Figure | bytes) -> None:
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            # No creation date or version in the file: same figure, same bytes.
            data.savefig(path, dpi=110, metadata={"Software": None})

    def preview(self) -> ImagePreview:
        """The picture, for kedro-viz."""
        return ImagePreview(base64.b64encode(self._filepath.read_bytes()).decode("ascii"))
