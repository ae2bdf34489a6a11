"""One meaning for each word: docs/glossary.md against the names of classes, modules and locals."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SOURCES = PROJECT / "src/blood_kedro"
# Names that say nothing of what a module holds.
EMPTY_NAMES = {"run", "job", "form", "plain", "own", "utils", "helpers", "misc", "common"}
# Names that say where a value comes from, not what it is.
EMPTY_LOCALS = {"found", "made", "kept", "own"}
# Below src/blood_kedro: folders and modules that still have such names.
PENDING: set[str] = set()


def _classes() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path.relative_to(SOURCES)


def _words() -> list[str]:
    rows = (PROJECT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    cells = [row.split("|")[1].strip() for row in rows if row.startswith("| ")]
    return [word.strip() for cell in cells if cell != "word" for word in cell.replace("(", ",").split(",")]


def _locals(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of what functions bind: arguments, variables, loop variables, `as` of any kind, and functions."""
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    for node in {inner for function in functions for inner in ast.walk(function)}:
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, ast.alias):
            yield node.lineno, node.asname or node.name


def _empty_locals(source: str) -> list[tuple[int, str]]:
    return sorted((line, name) for line, name in _locals(source) if name.strip("_") in EMPTY_LOCALS)


def _is_pending(path: Path) -> bool:
    place = path.relative_to(SOURCES)
    return any(each.as_posix() in PENDING for each in (place, *place.parents))


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


@pytest.mark.parametrize(
    "source",
    [
        "def f(found): ...",
        "def f(*, kept=1): ...",
        "def f():\n    made: int = 1",
        "def f():\n    for a, own in b: ...",
        "def f():\n    return [found.x for found in b]",
        "def f():\n    with b as found: ...",
        "def f():\n    if (made := b): ...",
        "a = lambda kept: kept",
        "class A:\n    async def f(self):\n        found = 1",
        "def _made(): ...",
    ],
)
def test_names_of_locals_that_say_nothing_are_seen(source: str) -> None:
    assert len(_empty_locals(source)) == 1


def test_other_names_are_no_locals() -> None:
    source = "class A:\n    found: int\n\n    def f(self):\n        self.made = g(kept=self.found)['own']"
    assert _empty_locals(source) == []


def test_locals_say_what_they_hold() -> None:
    paths = [path for path in sorted(SOURCES.rglob("*.py")) if not _is_pending(path)]
    empty = {path.relative_to(SOURCES).as_posix(): _empty_locals(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: names for path, names in empty.items() if names} == {}


def test_what_is_pending_is_there() -> None:
    assert [place for place in PENDING if not (SOURCES / place).exists()] == []
