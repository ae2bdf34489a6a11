"""Tables in Parquet or CSV; the catalog says in `validator:` which schema they have, and Kedro checks it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from kedro_datasets._typing import TablePreview

from blood_kedro.datasets.atomic import AtomicFileDataset


class TableDataset(AtomicFileDataset[pd.DataFrame]):
    """A table in a file: Parquet, or CSV by its suffix (`*.parquet`, `*.csv`). Arguments as of AtomicFileDataset."""

    def _read(self, path: Path) -> pd.DataFrame:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)

    def _write(self, path: Path, data: pd.DataFrame) -> None:
        if path.suffix == ".csv":
            data.to_csv(path, index=False)
        else:
            data.to_parquet(path, index=False)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, for kedro-viz."""
        table = self._read(self._filepath).head(nrows)
        return TablePreview(table.astype(str).to_dict(orient="split"))
