"""Keys that nothing reads are refused, in files as at the command line, and the nearest known one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.plan.plan import Plan
from blood_kedro.plan.tree import fields_of, is_group, options_in, type_at, type_of

COMMAND_LINE = "--params"
FILES = "conf/<environment>/parameters*.yml"
_REMEDIES = {
    FILES: "correct the key; conf/base/parameters*.yml has them all. Search the files of the environment for it",
    COMMAND_LINE: (
        "correct the key; conf/base/parameters*.yml has them all. If it is part of a path with a comma or an equals "
        "sign: Kedro cuts --params there, so name the path with make count IMAGES=..., or in the variable "
        "BLOOD_KEDRO_IMAGES"
    ),
}


def check_files(parameters: Mapping[str, Any]) -> None:
    """Refuse keys that nothing reads. At the top, names with an underscore in front hold what YAML anchors repeat.

    Args:
        parameters: those of files, nested, or merged with those of the command line that were checked before.

    Raises:
        ConfigurationError: a key is not known; it and the nearest known one are named.
    """
    sections = read_sections(parameters)
    _refuse(dict(_unknown(sections, sections)), FILES)


def check_given(overrides: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse keys of the command line that nothing reads, and new entries that do not say that they are meant.

    Args:
        overrides: parameters of the command line, nested.
        known: parameters of files alone.

    Raises:
        ConfigurationError: a key is not known; it and the nearest known one are named.
    """
    _refuse(dict(_unknown(overrides, known)) | dict(_new(overrides, known)), COMMAND_LINE)


def read_sections(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only YAML anchors stand in."""
    return {name: value for name, value in parameters.items() if not str(name).startswith("_")}


def _refuse(unknown: dict[str, str], where: str) -> None:
    if unknown:
        hints = [f"in place of {name}: {nearest}" for name, nearest in unknown.items() if nearest]
        what = f"no such parameter: {', '.join(unknown)}"
        raise ConfigurationError(what, where=where, expected="; ".join(hints), remedy=_REMEDIES[where])


def _unknown(values: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each unknown key, named with dots, and the nearest known one."""
    yield from _below(values, known, Plan, ())
    # Boxes are given for sources that there are.
    sources = {**(at(known, ("sources",)) or {}), **(at(values, ("sources",)) or {})}
    for name in at(values, ("standardization", "sources")) or {}:
        if str(name) not in sources:
            whole = f"standardization.sources.{name}"
            yield whole, _nearest(whole, [f"standardization.sources.{each}" for each in sources], {})


def _below(
    values: Mapping[str, Any],
    known: Any,  # noqa: ANN401 - any parameter
    kind: Any,  # noqa: ANN401 - any annotation
    path: tuple[str, ...],
) -> Iterator[tuple[str, str]]:
    """Unknown keys of what stands at `path` and is annotated `kind`."""
    present = {str(key): value for key, value in known.items()} if isinstance(known, Mapping) else {}
    fields = [".".join((*path, each)) for each in (fields_of(kind) or present)]
    for key, value in values.items():
        here = (*path, str(key))
        inside, name = type_of(kind, here), ".".join(here)
        if inside is None:
            yield name, _beside(here) or _nearest(name, [each for each in fields if each != name], known)
        elif isinstance(value, Mapping):
            yield from _below(value, present.get(str(key)), inside, here)
        elif is_group(inside) and value is not None:
            keys = fields_of(inside) or present.get(str(key)) or ["..."]
            yield f"{name} (a group)", f"{name}.<one of {', '.join(map(str, keys))}>"


def _beside(path: tuple[str, ...]) -> str:
    """The same key in the group around or in one beside: `compute.workers` for `training.workers`; else empty."""
    around, key = path[:-2], path[-1]
    groups = {around: type_at(around)} if around else {}
    groups |= {(*around, name): type_at((*around, name)) for name in fields_of(groups.get(around))}
    return next((".".join((*place, key)) for place, kind in groups.items() if key in fields_of(kind)), "")


def _new(overrides: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Entries with a name that files do not have: it is taken for a slip unless the entry says that it is meant."""
    for path in entries(overrides, ()):
        group = at(known, path[:-1]) or {}
        if at(known, path) is not None or _is_meant_as_new(path, overrides):
            continue
        name = ".".join(path)
        near = _nearest(name, [".".join((*path[:-1], str(each))) for each in group], {})
        new = f"{name}.adapter=<format>" if path[0] == "sources" else f"{name}.name={path[-1]}"
        yield name, f"{near} (or, if a new one is meant, also {new})".lstrip()


def entries(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of entries with a free name and options of their own."""
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            if path and options_in(type_at(path)) is not None:
                yield here
            yield from entries(value, here)


def _is_meant_as_new(path: tuple[str, ...], overrides: Mapping[str, Any]) -> bool:
    """Whether a new entry says so by its name, or a source by its format."""
    if path[:2] == ("standardization", "sources"):
        return True  # whether there is such a source is looked at elsewhere
    entry = at(overrides, path)
    said = entry if isinstance(entry, Mapping) else {}
    return "adapter" in said if path[0] == "sources" else said.get("name") == path[-1]


def _nearest(name: str, siblings: list[str], group: Any) -> str:  # noqa: ANN401 - any parameter
    """The most similar key of the same group, else of anything in it; empty where none is similar."""
    prefix, _, last = name.rpartition(".")
    by_last = {each.rpartition(".")[2]: each for each in reversed(siblings)}
    below = [each for each in _dotted(group, prefix) if each != name]
    close = [by_last[each] for each in get_close_matches(last, by_last, n=1)]
    close += get_close_matches(name, below, n=1, cutoff=0.75)
    close += [each for each in below if each.endswith(f".{last}")]
    return close[0] if close else ""


def _dotted(values: Any, prefix: str) -> Iterator[str]:  # noqa: ANN401 - any parameter
    if isinstance(values, Mapping):
        for key, value in values.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            yield from _dotted(value, name)


def at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any parameter
    """What stands at a path; None where nothing does."""
    for key in path:
        if not isinstance(values, Mapping):
            return None
        values = {str(each): value for each, value in values.items()}.get(key)
    return values
