"""What is short for something else in the parameters, written out: repetitions, names, images of the user's own."""

from __future__ import annotations

import copy
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.plan.cell_px import with_cell_px
from blood_kedro.plan.names import IMAGES, OWN
from blood_kedro.plan.tree import named_groups


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with everything written out that is short for something else; doing it again changes nothing.

    Raises:
        ConfigurationError: an entry has a `name` that is not its key.
    """
    return with_names(with_cell_px(with_own_smear(with_own_images(with_repetitions(dict(parameters))))))


def with_repetitions(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which a regimen with `seeds` or `search` stands once for each seed and combination of values.

    `seeds: [0, 1]` makes `<name>_seed_0` and `<name>_seed_1`; `search: {optimizer.lr: [0.01, 0.02]}` makes
    `<name>_lr_0_01` and `<name>_lr_0_02`; both together make all pairs. At the command line the keys of `search`
    come nested. `repeats` holds the name of the original.
    """
    regimens: dict[str, Any] = {}
    for name, entry in (parameters.get("regimens") or {}).items():
        choices = {"seed": entry.get("seeds") or [], **dict(_dotted(entry.get("search") or {}))}
        chosen = {key: values for key, values in choices.items() if values}
        plain = {key: value for key, value in entry.items() if key not in ("seeds", "search")}
        if not chosen:
            regimens[name] = plain
            continue
        for values in itertools.product(*chosen.values()):
            setting = dict(zip(chosen, values, strict=True))
            marks = [f"{key.rpartition('.')[2]}_{value}" for key, value in setting.items()]
            repetition = re.sub(r"[^A-Za-z0-9]+", "_", "_".join([name, *marks]))
            regimens[repetition] = _changed(plain, {**setting, "name": repetition, "repeats": name})
    return {**parameters, "regimens": regimens}


def with_own_images(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which the variable `BLOOD_KEDRO_IMAGES` is what is counted and looked at, if no other is named.

    A path in a variable needs no quotes: `--params` is cut at commas, and YAML has its own meaning of `:`, `#` and `$`.
    """
    named = os.environ.get(IMAGES)
    if not named:
        return parameters
    path = str(Path(named).expanduser().absolute())
    sections = {name: dict(parameters.get(name) or {}) for name in ("sam_counting", "detection")}
    return {**parameters, **{name: {**entry, "input": entry.get("input") or path} for name, entry in sections.items()}}


def with_own_smear(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which `sam_counting.input` is the path of the input `own`."""
    section = dict(parameters.get("sam_counting") or {})
    if not section.get("input"):
        return parameters
    inputs = dict(section.get("inputs") or {})
    smear_input = {**inputs.get(OWN, {}), "path": str(section["input"]), "enabled": True}
    return {**parameters, "sam_counting": {**section, "inputs": {**inputs, OWN: smear_input}}}


def with_names(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which every entry knows its name, which is its key (and `pretraining` that of its regimen).

    Raises:
        ConfigurationError: an entry has another `name`.
    """
    parameters = copy.deepcopy(parameters)
    for path, key, group in _named_entries(parameters):
        said = group[key].get("name")
        if said not in (None, "", path[-1]):
            raise ConfigurationError(
                "an entry is named by its key alone",
                where=f"{'.'.join(path)}.name",
                got=repr(said),
                expected=path[-1],
                remedy="remove the line; to rename the entry, change its key",
            )
        group[key] = {"name": path[-1], **{each: value for each, value in group[key].items() if each != "name"}}
    return parameters


def _named_entries(parameters: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any, dict[Any, Any]]]:
    """Path of each entry that has a name of its own, the last part of which it is; and where it stands."""
    for path in named_groups():
        group: Any = parameters
        for key in path:
            group = group.get(key) if isinstance(group, dict) else None
        for key in list(group) if isinstance(group, dict) else ():
            if isinstance(group[key], dict):
                yield (*path, str(key)), key, group
    pretraining = parameters.get("pretraining")
    if isinstance(pretraining, dict) and isinstance(pretraining.get("regimen"), dict):
        yield ("pretraining",), "regimen", pretraining


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Lists of values with their keys joined by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(entry: dict[str, Any], setting: dict[str, Any]) -> dict[str, Any]:
    """A copy with other values, named with dots."""
    changed = copy.deepcopy(entry)
    for dotted, value in setting.items():
        *path, last = dotted.split(".")
        part = changed
        for key in path:
            part = part.setdefault(key, {})
        part[last] = value
    return changed
