"""Single-cell crops, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from blood_kedro.library.core.crop_set import META, CropSet, read_crops


class CropSetDataset(AbstractDataset[CropSet, CropSet]):
    """A folder of `core.crop_set.write_crops`.

    Crops are streamed into the folder by the node, so saving checks that they are there, whole, and as many as the
    node says. Loading maps them: it costs no memory until cells are looked at.
    """

    def __init__(self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    def load(self) -> CropSet | None:  # type: ignore[override]
        """The cells; None where an optional folder was never made."""
        if self._optional and not self._exists():
            return None
        return read_crops(self._filepath)

    def save(self, data: CropSet) -> None:
        """Check what the node wrote."""
        found = read_crops(self._filepath)
        if len(found) != len(data):
            raise DatasetError(f"{self._filepath} holds {len(found)} cells, the node says {len(data)}")

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows of the table, for kedro-viz."""
        return TablePreview(read_crops(self._filepath).table.head(nrows).astype(str).to_dict(orient="split"))

    def _exists(self) -> bool:
        return (self._filepath / META).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
