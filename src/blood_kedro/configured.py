"""Which sources and regimens the configuration asks for: they decide which namespaces the pipelines have.

Kedro builds the context before the pipelines, so a hook hands over the merged parameters (environment and
`--params` included). `kedro registry` and `kedro viz` skip that hook; then the configuration is read here.
"""

from __future__ import annotations

import copy
import itertools
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError

# The name that stands for the detector that comes with the project.
SHIPPED = "shipped"
# Names an image or a folder of the user's own (`make count IMAGES=`, `make detect IMAGES=`).
IMAGES = "BLOOD_KEDRO_IMAGES"

_parameters: dict[str, Any] | None = None


def with_repetitions(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which a regimen with `seeds` or `search` stands once for each seed and combination of values.

    `seeds: [0, 1]` makes `<name>_seed_0` and `<name>_seed_1`; `search: {optimizer.lr: [0.01, 0.02]}` makes
    `<name>_lr_0_01` and `<name>_lr_0_02`; both together make all pairs. `study` holds the name of the original.
    """
    regimens: dict[str, Any] = {}
    for name, entry in (parameters.get("regimens") or {}).items():
        choices = {"seed": entry.get("seeds") or [], **(entry.get("search") or {})}
        chosen = {key: values for key, values in choices.items() if values}
        plain = {key: value for key, value in entry.items() if key not in ("seeds", "search")}
        if not chosen:
            regimens[name] = plain
            continue
        for values in itertools.product(*chosen.values()):
            setting = dict(zip(chosen, values, strict=True))
            marks = [f"{key.rpartition('.')[2]}_{value}" for key, value in setting.items()]
            made = re.sub(r"[^A-Za-z0-9]+", "_", "_".join([name, *marks]))
            regimens[made] = _changed(plain, {**setting, "name": made, "study": name})
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
    own = {**inputs.get("own", {}), "name": "own", "path": str(section["input"]), "enabled": True}
    return {**parameters, "sam_counting": {**section, "inputs": {**inputs, "own": own}}}


def with_source_names(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters in which each source knows its name."""
    sources = {name: {**entry, "name": name} for name, entry in (parameters.get("sources") or {}).items()}
    return {**parameters, "sources": sources}


def complete(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters with everything written out that is short for something else."""
    return with_own_smear(with_own_images(with_repetitions(with_source_names(parameters))))


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


def set_from(parameters: dict[str, Any]) -> None:
    """Remember the merged, completed parameters of the session."""
    global _parameters  # noqa: PLW0603 - Kedro's registry takes no arguments
    _parameters = parameters


def sources() -> list[str]:
    """Names of enabled sources, in the order of configuration.

    Raises:
        ConfigurationError: none is enabled.
    """
    names = _enabled("sources")
    if not names:
        raise ConfigurationError("no source is enabled", where="parameters: sources", remedy="enable at least one")
    return names


def further_sets() -> list[str]:
    """Published sets that single cells or cutouts are read from and that are no sources of images with boxes."""
    readers = {entry["reader"] for name, entry in (morphology().get("cells") or {}).items() if name in cell_sources()}
    cutouts = (counting().get("cutouts") or {}).items()
    published = any(entry.get("reader") == "published" for name, entry in cutouts if name in cutout_sets())
    wanted = {"elsafty": "elsafty" in readers, "ojaghi": published or bool({"ojaghi", "fields"} & readers)}
    return [name for name, is_wanted in wanted.items() if is_wanted]


def regimens() -> list[str]:
    """Names of enabled regimens, in the order of configuration."""
    return _enabled("regimens")


def starts_from_generated_smears(regimen: str) -> bool:
    """Whether a regimen needs the pre-training on generated smears."""
    first_weights = _current()["regimens"][regimen].get("first_weights") or {}
    return bool(first_weights.get("kind") == "simulated")


def morphology() -> dict[str, Any]:
    """The section of single cells."""
    return dict(_current().get("morphology") or {})


def cell_sources() -> list[str]:
    """Names of enabled sources of single cells."""
    return _enabled("cells", morphology())


def reader_of_cells(source: str) -> str:
    """Which reader a source of single cells needs."""
    return str(morphology()["cells"][source]["reader"])


def segmenters() -> list[str]:
    """Names of enabled segmenters of single cells."""
    return _enabled("segmenters", morphology())


def classifiers() -> list[str]:
    """Names of enabled variants of the single-cell classifier."""
    return _enabled("classifiers", morphology())


def overlap() -> dict[str, Any]:
    """The section of overlapping cells."""
    return dict(_current().get("overlap") or {})


def overlap_crops() -> list[str]:
    """Names of enabled sets of crops whose source is enabled too."""
    entries = overlap().get("crops") or {}
    return [name for name in _enabled("crops", overlap()) if entries[name]["source"] in _enabled("sources")]


def overlap_studies() -> list[str]:
    """Names of enabled classifiers whose crops are made."""
    entries = overlap().get("studies") or {}
    return [name for name in _enabled("studies", overlap()) if entries[name]["crops"] in overlap_crops()]


def counting() -> dict[str, Any]:
    """The section of counting."""
    return dict(_current().get("sam_counting") or {})


def detects_own_images() -> bool:
    """Whether the user names images of their own for a detector: then nothing is trained."""
    return bool((_current().get("detection") or {}).get("input"))


def own_detector() -> str | None:
    """The regimen whose detector looks at a user's own images; None is the one that comes with the project."""
    name = str(_current()["detection"]["regimen"])
    return None if name == SHIPPED else name


def counts_own_smear() -> bool:
    """Whether the user names a smear of their own: then that alone is counted, and nothing is trained."""
    return bool(counting().get("input"))


def counting_inputs() -> list[str]:
    """Names of inputs to count: the user's own, or those that are enabled and whose source is."""
    if counts_own_smear():
        return ["own"]
    return [name for name in _with_source("inputs") if name != "own"]


def cutout_sets() -> list[str]:
    """Names of enabled sets of cutouts; those that are segmented need their source."""
    entries = counting().get("cutouts") or {}
    published = [name for name in _enabled("cutouts", counting()) if entries[name].get("reader") == "published"]
    return [name for name in _enabled("cutouts", counting()) if name in {*published, *_with_source("cutouts")}]


def kind_classifiers() -> list[str]:
    """Names of enabled classifiers of cutouts, all of whose sets are made."""
    entries = counting().get("classifiers") or {}
    return [name for name in _enabled("classifiers", counting()) if set(entries[name]["cutouts"]) <= set(cutout_sets())]


def _with_source(section: str) -> list[str]:
    entries = counting().get(section) or {}
    names = _enabled(section, counting())
    return [name for name in names if not entries[name].get("source") or entries[name]["source"] in _enabled("sources")]


def shipped_cell_trainings() -> dict[str, dict[str, Any]]:
    """Trainings of the shipped cell detector by name; the one on all laboratories is `cells_all`."""
    return dict(((_current().get("shipped") or {}).get("cells") or {}).get("trainings") or {})


def shipped_types() -> list[str]:
    """Names of the shipped classifiers of cells."""
    return list(_current().get("shipped_types") or {})


def scored_split() -> str:
    """The split that detectors are scored on.

    Raises:
        ConfigurationError: it is none.
    """
    split = (_current().get("evaluation") or {}).get("split")
    if split not in ("val", "test"):
        raise ConfigurationError("no such split", where="evaluation.split", got=str(split), expected="val or test")
    return str(split)


def pastes_cells(regimen: str) -> bool:
    """Whether a regimen augments its training images by copy-paste."""
    return bool(_current()["regimens"][regimen].get("copy_paste"))


def _enabled(section: str, within: dict[str, Any] | None = None) -> list[str]:
    entries = (_current() if within is None else within).get(section) or {}
    return [name for name, entry in entries.items() if entry.get("enabled", True)]


def _current() -> dict[str, Any]:
    if _parameters is not None:
        return _parameters
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    return _read(Path(project), os.environ.get("KEDRO_ENV"))


@cache
def _read(project: Path, environment: str | None) -> dict[str, Any]:
    """Parameters of files alone; read once, for the pipelines ask dozens of times."""
    from blood_kedro.environments import config_loader

    return complete(dict(config_loader(project, environment)["parameters"]))
