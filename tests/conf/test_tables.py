"""Every table of the catalog has a schema, every schema a table, and every column a meaning."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from blood_kedro.environments import config_loader
from blood_kedro.library.core import schemas
from blood_kedro.library.core.schemas import Table
from tests.conftest import PROJECT, load_script

ENTRIES: Mapping[str, Any] = config_loader(PROJECT, "base")["catalog"]
TABLES = {name: entry for name, entry in sorted(ENTRIES.items()) if str(entry.get("type")).endswith("TableDataset")}
SCHEMAS = {name: each for name, each in inspect.getmembers(schemas, inspect.isclass) if issubclass(each, Table)}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_names_a_schema_that_exists(name: str) -> None:
    module, _, schema = str(TABLES[name].get("validator", "")).rpartition(".")
    assert module == schemas.__name__, f"{name} has no validator: of {schemas.__name__}"
    assert issubclass(getattr(importlib.import_module(module), schema), Table)
    assert schema in SCHEMAS


def test_every_schema_has_a_use() -> None:
    validators = {str(entry["validator"]).rpartition(".")[2] for entry in TABLES.values()}
    # The table of a set of crops lies in the folder of their pixels, so its dataset checks it (core/crop_set.py).
    assert set(SCHEMAS) - {"Table"} == validators | {"CropTable"}


@pytest.mark.parametrize("schema", sorted(set(SCHEMAS) - {"Table"}))
def test_schemas_are_strict_and_say_what_each_column_means(schema: str) -> None:
    made = SCHEMAS[schema].to_schema()
    assert made.strict is True
    assert SCHEMAS[schema].__doc__
    assert not [name for name, each in made.columns.items() if not each.description]


def test_the_page_of_tables_shows_every_table_and_column() -> None:
    pytest.importorskip("mkdocs")
    pages = load_script("docs_pages")
    page = pages.tables_page()
    assert not [name for name in TABLES if f"- `{name}`: `" not in page]
    for name in set(SCHEMAS) - {"Table"}:
        part = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert part.count("\n| ") == len(SCHEMAS[name].to_schema().columns) + 1, name
    assert "| `area_px2` | integer | px² |  | pixels of the mask |" in page
