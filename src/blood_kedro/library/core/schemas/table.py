"""What every schema here shares: strict columns with a meaning each, and an error that says what to do."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from blood_kedro.library.core.errors import DataContractError

SPLITS = ("train", "val", "test")
_SHOWN = 5


def column(meaning: str, **checks: Any) -> Any:  # noqa: ANN401 - pandera's own checks
    """A column of a schema, with its meaning and unit in words and the checks of `pandera.pandas.Field`."""
    return pa.Field(description=meaning, **checks)


class Table(pa.DataFrameModel):
    """Base of all schemas. Columns it does not name are refused; types are turned into those it names.

    The catalog names a schema as the `validator:` of a table, and Kedro calls `validate` when it saves and loads.
    """

    class Config:
        """Of pandera."""

        strict = True
        coerce = True
        ordered = False

    @classmethod
    def validate(cls, check_obj: pd.DataFrame | None, *_: object, **__: object) -> Any:  # noqa: ANN401
        """The table with the types of the schema; None stays None: an optional table that nobody has made yet.

        Raises:
            DataContractError: rows or columns break the schema; all of them are counted, the first five told.
        """
        if check_obj is None:
            return None
        try:
            return super().validate(check_obj, lazy=True)
        except SchemaErrors as error:
            raise _violation(cls.__name__, error) from error


def _violation(schema: str, error: SchemaErrors) -> DataContractError:
    cases = error.failure_cases
    lines = [
        f"row {case.index}, column {case.column}: got {case.failure_case!r}, expected {case.check}"
        for case in cases.head(_SHOWN).itertuples(index=False, name="Case")
    ]
    return DataContractError(
        f"table breaks schema {schema}: {len(cases)} violations",
        got="; ".join(lines),
        remedy="look at the node that made this table; if an earlier version did, run its pipeline again",
    )


def empty(schema: type[Table]) -> pd.DataFrame:
    """A table of no rows with the columns and types of a schema."""
    table: pd.DataFrame = schema.empty()
    return table


def conform(schema: type[Table], rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a table with the columns and types of a schema; optional columns that no row has are left out.

    Raises:
        DataContractError: rows break the schema.
    """
    if not rows:
        return empty(schema)
    known = schema.to_schema().columns.items()
    columns = [name for name, each in known if each.required or any(name in row for row in rows)]
    table: pd.DataFrame = schema.validate(pd.DataFrame(rows, columns=columns))
    return table
