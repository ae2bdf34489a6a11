"""One meaning for each word: docs/glossary.md against the names of classes and modules."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PROJECT

SOURCES = PROJECT / "src/blood_kedro"
# Names that say nothing of what a module holds.
EMPTY_NAMES = {"run", "job", "form", "plain", "own", "utils", "helpers", "misc", "common"}


def _classes() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path.relative_to(SOURCES)


def _words() -> list[str]:
    rows = (PROJECT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    cells = [row.split("|")[1].strip() for row in rows if row.startswith("| ")]
    return [word.strip() for cell in cells if cell != "word" for word in cell.replace("(", ",").split(",")]


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for name, path in _classes():
        places[name].append(path.as_posix())
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_modules_say_what_they_hold() -> None:
    assert [path for path in SOURCES.rglob("*.py") if path.stem in EMPTY_NAMES] == []


def test_words_of_the_glossary_stand_there_once() -> None:
    words = _words()
    assert {"crop", "recipe", "part", "read-out"} <= set(words)
    assert sorted(words) == sorted(set(words))


def test_words_that_the_glossary_replaces_are_no_class_names() -> None:
    replaced = {"Cutout": "CellPatch", "Cells": "CropSet", "Study": "OverlapClassifier", "Masks": "InstanceMasks"}
    named = {name for name, _ in _classes()}
    assert not set(replaced) & named
    assert set(replaced.values()) <= named
