"""An idea has one place: no constant of two modules, no colour beside the palette."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from blood_kedro.library.core import colours, limits

SOURCE = Path(__file__).parents[2] / "src" / "blood_kedro"
MODULES = sorted(SOURCE.rglob("*.py"))
PALETTE = SOURCE / "library" / "core" / "colours.py"
# One word for what another topic knows, too, and may know differently; or private sizes of work that mean nothing.
APART = {"MOST_CELLS", "BATCH", "CHUNK", "MOST_PX", "SPLITS", "T", "ANGLES"}


def constants(path: Path) -> dict[str, str]:
    """Constants of a module that are written out there: name without leading underscores, and value."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else []
            pairs = list(zip(node.targets[0].elts, values, strict=False))
        elif isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Name) and target.id.isupper() and not isinstance(value, ast.Name | ast.Attribute):
                found[target.id.lstrip("_")] = ast.unparse(value)
    return found


def test_no_two_modules_define_the_same_constant() -> None:
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in MODULES:
        for name, value in constants(path).items():
            places[name, value].append(str(path.relative_to(SOURCE)))
    twice = {key: where for key, where in places.items() if len(where) > 1 and key[0] not in APART}
    assert not twice


def test_limits_have_one_value() -> None:
    """What `core.limits` names, no other module gives a value of its own."""
    ours = {name for name in vars(limits) if name.isupper()}
    others = {
        (str(path.relative_to(SOURCE)), name)
        for path in MODULES
        if path.name != "limits.py"
        for name in constants(path).keys() & ours
    }
    assert not others


def test_colours_stand_in_the_palette_alone() -> None:
    named = {
        str(path.relative_to(SOURCE)): found
        for path in MODULES
        if path != PALETTE and (found := re.findall(r"[\"']#[0-9a-fA-F]{6}[\"']", path.read_text(encoding="utf-8")))
    }
    assert not named


def test_cell_types_have_one_colour_each() -> None:
    assert set(colours.CELL_TYPES) == set(colours.MASKS) == set(colours.TEXT)
    templates = SOURCE / "library" / "reporting" / "templates"
    for page in templates.iterdir():
        assert not re.search(r"\.(rbc|wbc|platelet)\s*\{", page.read_text(encoding="utf-8")), page.name
