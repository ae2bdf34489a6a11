"""Names of the classes of a YOLO set, by number: `data.yaml`, or `classes.txt` with a name a line."""

from __future__ import annotations

from pathlib import Path

import yaml

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import read_text
from blood_kedro.library.sources.label_files import reason_of
from blood_kedro.library.sources.values import whole

FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")

# What class names need. A yaml of many aliases unfolds to more than a memory holds, a deep one ends the stack.
_LIMIT_BYTES = 2**20
_DEEPEST = 20
_MOST_ALIASES = 10
_PLAIN_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "seq", "map"))}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def class_names(folder: Path, names_file: str | None, rejects: RejectLog) -> dict[int, str] | None:
    """Class names by number; None where the set has none.

    `names_file` is a path below the folder; else the usual files of the folder are tried, then the lists beside the
    labels.
    """
    for path in (folder / name for name in ((names_file,) if names_file else FILES)):
        names = _names_in(path, folder, rejects) if path.exists() else None
        if names is not None:
            return names
    return None if names_file else _beside_labels(folder, rejects)


def _beside_labels(folder: Path, rejects: RejectLog) -> dict[int, str] | None:
    """Names of the lists deeper in a set, which must be the same: a number has one name in a set."""
    beside = [path for path in sorted(folder.rglob("classes.txt")) if path.parent != folder]
    lists = [(path, names) for path in beside if (names := _names_in(path, folder, rejects)) is not None]
    for path, names in lists:
        if names != lists[0][1]:
            other = lists[0][0].relative_to(folder).as_posix()
            reason = f"other class names than in {other}: labels are numbers; read each folder as a source of its own"
            rejects.add(path.relative_to(folder), "label_file", "noted", reason)
            return None
    return lists[0][1] if lists else None


def _names_in(path: Path, folder: Path, rejects: RejectLog) -> dict[int, str] | None:
    try:
        return read_names(path)
    except Exception as error:
        reason = f"no class names in it, labels are numbers: {reason_of(error)}"
        rejects.add(path.relative_to(folder), "label_file", "noted", reason)
        return None


def read_names(path: Path) -> dict[int, str]:
    """Class names by number; a blank line of a list keeps its number.

    Raises:
        BadInputError: the file cannot be read, names no class, or names one twice.
    """
    text = read_text(path, _LIMIT_BYTES)
    if path.suffix.lower() not in {".yaml", ".yml"}:
        return {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
    names = _child(_harmless(text), "names")
    if isinstance(names, yaml.SequenceNode):
        return {number: _scalar(node) for number, node in enumerate(names.value)}
    if not isinstance(names, yaml.MappingNode):
        raise BadInputError("`names` is missing")
    numbered: dict[int, str] = {}
    for key, node in names.value:
        number = whole(_scalar(key))
        if number is None or number in numbered:
            fault = "is no number" if number is None else "stands there twice"
            raise BadInputError(f"a key of `names` {fault}: {_scalar(key)[:40]!r}")
        numbered[number] = _scalar(node)
    return numbered


def _harmless(text: str) -> yaml.Node | None:
    """The nodes of a yaml, no object of which is made.

    Raises:
        BadInputError: it is no yaml, or one that no tool writes for class names.
    """
    depth = aliases = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > _DEEPEST or aliases > _MOST_ALIASES:
                raise BadInputError("nested too deep" if depth > _DEEPEST else f"more than {_MOST_ALIASES} aliases")
            tag = getattr(event, "tag", None)
            if tag not in _PLAIN_TAGS:
                raise BadInputError(f"tags are not read: {str(tag)[:60]!r}")
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise BadInputError(f"no yaml: {' '.join(str(error).split())[:200]}") from error
    return node


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    values = [value for name, value in pairs if isinstance(name, yaml.ScalarNode) and name.value == key]
    if len(values) > 1:
        raise BadInputError(f"`{key}` stands there twice")
    return values[0] if values else None


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise BadInputError("a class name is no text")
    return str(node.value).strip()
