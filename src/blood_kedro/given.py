"""What is given at the command line: keys of `--params` that something reads, and values that can be meant."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.library.detection.options import OwnImages, Pretraining, Regimen
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.overlap.options import CropOptions, RuleOptions, Study
from blood_kedro.library.shipped.cell_options import CellJudging, CellRecipe, CellTraining, PictureOptions
from blood_kedro.library.shipped.type_options import TypeModel
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.library.training.options import Hardware

# The options of each group of parameters; `*` is any name: those of regimens, sources and so on are free.
MODELS: dict[str, type[BaseModel]] = {
    "download": DownloadOptions,
    "sources.*": SourceOptions,
    "sources.*.smears": SmearOptions,
    "standardization": StandardizationOptions,
    "merging": MergingOptions,
    "detection": OwnImages,
    "pretraining": Pretraining,
    "pretraining.smears": SmearOptions,
    "regimens.*": Regimen,
    "morphology.cells.*": CellOptions,
    "morphology.segmenters.*": Segmenter,
    "morphology.classifiers.*": Classifier,
    "overlap.crops.*": CropOptions,
    "overlap.rules": RuleOptions,
    "overlap.studies.*": Study,
    "sam_counting.cutouts.*": CutoutOptions,
    "sam_counting.classifiers.*": KindClassifier,
    "sam_counting.inputs.*": SmearInput,
    "shipped.hardware": Hardware,
    "shipped.pictures": PictureOptions,
    "shipped.cells.recipe": CellRecipe,
    "shipped.cells.judging": CellJudging,
    "shipped.cells.trainings.*": CellTraining,
    "shipped_types.*": TypeModel,
}
# Parameters that stand alone.
_SINGLE: dict[str, Any] = {
    "seed": int,
    "on_bad_input": Literal["reject", "raise"],
    "evaluation.split": Literal["val", "test"],
    "evaluation.resamples": int,
    "evaluation.score_threshold": float,
    "morphology.side_px": int,
    "morphology.reference": str,
}
# Keys that are written out before the options are made (configured.with_repetitions).
_SHORTHAND: dict[str, dict[str, Any]] = {"regimens.*": {"seeds": list[int], "search": dict[str, Any]}}
_REMEDY = (
    "correct the key; conf/base/parameters*.yml has them all. If it is part of a path with a comma or an equals sign: "
    "Kedro cuts --params there, so name the path with make count IMAGES=..., or in the variable BLOOD_KEDRO_IMAGES"
)


def check_keys(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse keys that nothing reads, whichever pipelines are to run.

    Args:
        given: parameters of the command line, nested.
        known: parameters of the configuration alone.

    Raises:
        ConfigurationError: a key is not known; it and the nearest known one are named.
    """
    wrong = dict(_wrong(given, known, None, ()))
    # Boxes are given for sources that there are.
    sources = {**_at(known, ("sources",)), **(_at(given, ("sources",)) or {})}
    for name in _at(given, ("standardization", "sources")) or {}:
        if str(name) not in sources:
            whole = f"standardization.sources.{name}"
            wrong[whole] = _nearest(whole, [f"standardization.sources.{each}" for each in sources], {})
    for path in _groups(given, ()):
        if (_pattern(path) or "").endswith(".*") and _at(known, path) is None and not _is_meant_as_new(path, given):
            name = ".".join(path)
            near = _nearest(name, [".".join((*path[:-1], str(each))) for each in _at(known, path[:-1])], {})
            new = f"{name}.adapter=<format>" if path[0] == "sources" else f"{name}.name={path[-1]}"
            wrong[name] = f"{near} (or, if a new one is meant, also {new})".lstrip()
    if wrong:
        hints = [f"in place of {name}: {nearest}" for name, nearest in wrong.items() if nearest]
        raise ConfigurationError(
            f"no such parameter: {', '.join(wrong)}", where="--params", expected="; ".join(hints), remedy=_REMEDY
        )


def check_values(given: Mapping[str, Any], merged: Mapping[str, Any]) -> None:
    """Refuse values that cannot be meant in every group that is given, whichever pipelines are to run.

    Args:
        given: parameters of the command line, nested.
        merged: parameters of the configuration and of the command line, completed.

    Raises:
        ConfigurationError: the options of a group cannot be made from its values; each problem is named.
    """
    problems = []
    single = [tuple(name.split(".")) for name in _SINGLE if _at(given, tuple(name.split("."))) is not None]
    for path in [*single, *_groups(given, ())]:
        entry = _at(merged, path)
        if entry is None:  # it stands for several, which have names of their own
            continue
        try:
            TypeAdapter(_SINGLE.get(".".join(path)) or _type_at(path)).validate_python(entry)
        except ValidationError as error:
            problems += [f"{'.'.join([*path, *map(str, each['loc'])])}: {each['msg']}" for each in error.errors()]
    if problems:
        raise ConfigurationError(
            "a parameter has a value that it cannot have",
            where="--params",
            got="; ".join(dict.fromkeys(problems)),
            remedy="correct it; the comments in conf/base/parameters*.yml say what it may be",
        )


def _is_meant_as_new(path: tuple[str, ...], given: Mapping[str, Any]) -> bool:
    """Whether a new entry says so by its name, or a source by its format; else its name is taken for a slip."""
    entry = _at(given, path)
    said = entry if isinstance(entry, Mapping) else {}
    return "adapter" in said if path[0] == "sources" else said.get("name") == path[-1]


def _wrong(
    given: Mapping[str, Any],
    known: Any,  # noqa: ANN401 - any parameter
    kind: Any,  # noqa: ANN401 - any annotation
    path: tuple[str, ...],
) -> Iterator[tuple[str, str]]:
    """Each wrong key, named with dots, and the nearest known one; `kind` is the type of what is at `path`."""
    present = {str(key): value for key, value in known.items()} if isinstance(known, Mapping) else {}
    for key, value in given.items():
        here = (*path, str(key))
        name = ".".join(here)
        inside = _type_at(here) or _type_of(kind, str(key), path)
        if str(key) not in present and inside is None:
            yield name, _nearest(name, [".".join((*path, each)) for each in (*present, *_fields(kind))], known)
        elif isinstance(value, Mapping):
            yield from _wrong(value, present.get(str(key)), inside, here)
        elif _pattern(here) or (inside is None and isinstance(present[str(key)], Mapping)):
            keys = _fields(inside) or present[str(key)]
            yield f"{name} (a group)", f"{name}.<one of {', '.join(map(str, keys))}>"


def _type_at(path: tuple[str, ...]) -> Any:  # noqa: ANN401 - an annotation
    pattern = _pattern(path)
    return None if pattern is None else MODELS[pattern]


def _pattern(path: tuple[str, ...]) -> str | None:
    """The entry of MODELS for a path."""
    for pattern in MODELS:
        parts = pattern.split(".")
        if len(parts) == len(path) and all(one in ("*", other) for one, other in zip(parts, path, strict=True)):
            return pattern
    return None


def _type_of(kind: Any, key: str, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - annotations
    """Annotation of what stands at a key of something annotated `kind`; None if there can be no such key."""
    if kind in (Any, object, dict):
        return Any
    if get_origin(kind) in (Union, types.UnionType):
        return next((found for each in get_args(kind) if (found := _type_of(each, key, path)) is not None), None)
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        shorthand = _SHORTHAND.get(_pattern(path) or "", {})
        return kind.model_fields[key].annotation if key in kind.model_fields else shorthand.get(key)
    return None


def _fields(kind: Any) -> list[str]:  # noqa: ANN401 - any annotation
    if get_origin(kind) in (Union, types.UnionType):
        return [name for each in get_args(kind) for name in _fields(each)]
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _nearest(name: str, siblings: list[str], group: Any) -> str:  # noqa: ANN401 - any parameter
    """The most similar key of the same group, else of anything in it; empty where none is similar."""
    prefix, _, last = name.rpartition(".")
    by_last = {each.rpartition(".")[2]: each for each in reversed(siblings)}
    below = list(_dotted(group, prefix))
    found = [by_last[each] for each in get_close_matches(last, by_last, n=1)]
    found += get_close_matches(name, below, n=1, cutoff=0.75)
    found += [each for each in below if each.endswith(f".{last}")]
    return found[0] if found else ""


def _dotted(values: Any, prefix: str) -> Iterator[str]:  # noqa: ANN401 - any parameter
    if isinstance(values, Mapping):
        for key, value in values.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            yield from _dotted(value, name)


def _groups(given: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths in what is given that have options of their own."""
    for key, value in given.items():
        here = (*path, str(key))
        if _type_at(here) is not None:
            yield here
        if isinstance(value, Mapping):
            yield from _groups(value, here)


def _at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any parameter
    for key in path:
        if not isinstance(values, Mapping):
            return None
        values = {str(each): value for each, value in values.items()}.get(key)
    return values
