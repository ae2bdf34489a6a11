"""What a saved result rests on: a record beside it, so that only what was measured together is shown together.

`regimen_1/metrics.json` has its record at `regimen_1/.records/metrics.json.json`; a trained model holds its own
(`record.json`), so that it travels with the model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from blood_kedro.library.core.files import write_bytes_atomically

logger = logging.getLogger(__name__)

IN_MODEL, BESIDE = "record.json", ".records"
CORPUS = "unified_summary"
GENERATED = "synthetic"


@dataclass(frozen=True)
class Data:
    """One state of a source, a corpus, a set of cells or a trained model.

    Attributes:
        fingerprint: changes when the content does.
        pictures: how many of each source; empty for a model.
    """

    fingerprint: str
    pictures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """Of one saved dataset.

    Attributes:
        dataset: its name in the catalog.
        node: what made it.
        environment: in which it was made.
        made: when, UTC, ISO 8601.
        commit: of the code; None outside a repository.
        data: all that it rests on, by dataset; what has more than one state here was mixed from several.
        unknown: datasets that went into it and had no record.
    """

    dataset: str
    node: str
    environment: str
    made: str
    commit: str | None = None
    data: dict[str, list[Data]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def place(path: Path, *, is_model: bool = False) -> Path:
    """Where the record of a saved file or folder stands."""
    return path / IN_MODEL if is_model else path.parent / BESIDE / f"{path.name}.json"


def write_record(file: Path, record: Record) -> None:
    """Write it whole or not at all."""
    write_bytes_atomically(file, json.dumps(asdict(record), indent=1).encode())


def read_record(file: Path) -> Record | None:
    """The record; None where there is none, or one that is cut or damaged: that is said in the log."""
    if not file.is_file():
        return None
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        logger.warning("the record %s is damaged and counts as none: %s: %s", file, type(error).__name__, error)
        return None


def parse(content: dict[str, Any]) -> Record:
    """A record from its JSON.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is no record.
    """
    states = {name: [Data(**state) for state in entries] for name, entries in content["data"].items()}
    record = Record(**{**content, "data": states})
    said = [record.dataset, record.node, record.environment, record.made, *record.unknown]
    said += [state.fingerprint for entries in states.values() for state in entries]
    numbers = [number for entries in states.values() for state in entries for number in state.pictures.values()]
    if not all(isinstance(text, str) for text in said) or not all(isinstance(number, int) for number in numbers):
        raise TypeError("texts or numbers of another type")
    return record


def read_all(folder: Path) -> dict[str, Record]:
    """Every record below the layers (`02_...`, `03_...`) of a folder of results, by dataset."""
    files = [file for layer in sorted(folder.glob("0[2-8]_*")) for file in layer.rglob(f"{BESIDE}/*.json")]
    files = [file for file in files if not file.name.startswith(".")]  # one that is being written
    files += sorted(folder.glob(f"06_*/*/{IN_MODEL}"))
    all_records = [record for file in files if (record := read_record(file)) is not None]
    return {record.dataset: record for record in all_records}


def merged(records: Iterable[Record]) -> tuple[dict[str, list[Data]], list[str]]:
    """All that several records rest on, each state once, and the datasets of which nothing is known."""
    data: dict[str, list[Data]] = {}
    unknown: set[str] = set()
    for record in records:
        unknown |= set(record.unknown)
        for name, states in record.data.items():
            known = data.setdefault(name, [])
            known += [state for state in states if state.fingerprint not in {each.fingerprint for each in known}]
    return data, sorted(unknown)


def why_not(record: Record | None, records: Mapping[str, Record], environment: str) -> str | None:
    """Why a result does not belong beside the others of an environment, in words; None where it does.

    It does if it was made in that environment and all that it rests on is still as it was then.
    """
    if record is None:
        return "nothing is recorded of what it was measured on"
    if record.environment != environment:
        return f"made in environment {record.environment}"
    if record.unknown:
        return f"nothing is recorded of {', '.join(record.unknown)}, which it rests on"
    changed = [name for name, states in record.data.items() if _changed(name, states, records)]
    return f"what it rests on has changed since: {', '.join(map(_said, changed))}" if changed else None


def _changed(name: str, states: list[Data], records: Mapping[str, Record]) -> bool:
    now = records[name].data.get(name) if name in records else None
    return now is None or [state.fingerprint for state in states] != [state.fingerprint for state in now]


def _said(name: str) -> str:
    owner, _, part = name.rpartition(".")
    words = {"image_index": f"source {owner}", "cells": f"cells {owner}", "model": f"model {owner}"}
    return "the unified corpus" if name == CORPUS else words.get(part, name)


def pictures_of(record: Record) -> dict[str, int]:
    """Pictures of each source that a result rests on: of its cells, else of the corpus, else of the sources."""
    for part in (".cells", CORPUS, ".image_index"):
        pictures = [state.pictures for name, states in record.data.items() if name.endswith(part) for state in states]
        if pictures:
            return {source: max(each.get(source, 0) for each in pictures) for each in pictures for source in each}
    return {}


def describe_model(name: str, record: Record | None) -> str:
    """Environment, date and data of a trained model, in a sentence or two."""
    if record is None:
        return f"Model {name}: nothing is recorded of where and on what it was trained."
    pictures = pictures_of(record)
    listed = ", ".join(f"{source} ({number:,} pictures)" for source, number in pictures.items())
    start = f"Model {name}, trained in environment {record.environment} on {record.made[:10]}"
    if pictures and set(pictures) <= {GENERATED}:
        return (
            f"{start} on generated smears only ({sum(pictures.values()):,} pictures). This is the demo: it has never "
            "seen a real smear, and its answers on one mean nothing."
        )
    return f"{start} on {listed or 'data that are not recorded'}."
