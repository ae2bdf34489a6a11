"""Tables with a schema, checked on save and on load."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview
from pandera.errors import SchemaErrors

from blood_kedro.datasets.atomic import AtomicFileDataset
from blood_kedro.library.core.errors import DataContractError

_SHOWN = 5


class TableDataset(AtomicFileDataset[pd.DataFrame]):
    """A Parquet (or, by suffix, CSV) file of a pandera schema.

    Args:
        filepath: `*.parquet` or `*.csv`.
        schema: class name in `blood_kedro.library.core.schemas`; None leaves the table unchecked.
        optional, metadata: see AtomicFileDataset.
    """

    def __init__(
        self,
        *,
        filepath: str,
        schema: str | None = None,
        optional: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, optional=optional, metadata=metadata)
        self._schema = schema

    def _read(self, path: Path) -> pd.DataFrame:
        return self._checked(pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path), "load")

    def _write(self, path: Path, data: pd.DataFrame) -> None:
        checked = self._checked(data, "save")
        if path.suffix == ".csv":
            checked.to_csv(path, index=False)
        else:
            checked.to_parquet(path, index=False)

    def _checked(self, table: pd.DataFrame, when: str) -> pd.DataFrame:
        if self._schema is None:
            return table
        schema = getattr(importlib.import_module("blood_kedro.library.core.schemas"), self._schema)
        try:
            checked: pd.DataFrame = schema.validate(table, lazy=True)
        except SchemaErrors as error:
            raise self._violation(error, when) from error
        return checked

    def _violation(self, error: SchemaErrors, when: str) -> DataContractError:
        cases = error.failure_cases
        lines = (
            [
                f"row {case.index}, column {case.column}: got {case.failure_case!r}, expected {case.check}"
                for case in cases.head(_SHOWN).itertuples(index=False, name="Case")
            ]
            if "index" in cases
            else []
        )
        return DataContractError(
            f"table breaks schema {self._schema} on {when}: {len(cases)} violations",
            where=str(self._filepath),
            got="; ".join(lines),
            remedy="look at the node that made this table",
        )

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, for kedro-viz."""
        table = self._read(self._filepath).head(nrows)
        return TablePreview(table.astype(str).to_dict(orient="split"))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "schema": self._schema}
