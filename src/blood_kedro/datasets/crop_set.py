"""Sets of crops, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset
from kedro_datasets._typing import TablePreview

from blood_kedro.library.core.crop_set import META, CropSet, read_crops, save_crops


class CropSetDataset(AbstractDataset[CropSet, CropSet]):
    """A folder of `core.crop_set.save_crops`: whole, or as it was before.

    Neither saving nor loading holds all crops in memory: a node gathers them in a file that is mapped
    (`core.crop_set.gather_crops`), and loading maps those of the folder.
    """

    def __init__(self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    def load(self) -> CropSet | None:  # type: ignore[override]
        """The crops; None where an optional folder was never made."""
        if self._optional and not self._exists():
            return None
        return read_crops(self._filepath)

    def save(self, data: CropSet) -> None:
        """Replace the folder."""
        save_crops(data, self._filepath)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows of the table, for kedro-viz."""
        return TablePreview(read_crops(self._filepath).table.head(nrows).astype(str).to_dict(orient="split"))

    def _exists(self) -> bool:
        return (self._filepath / META).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
