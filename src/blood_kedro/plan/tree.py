"""What the types of the plan say of its keys: which there are, and which of them are free names."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.shipped.cell_options import CellRecipe
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.plan.plan import Plan

# Options that a topic holds as a plain mapping because it must not know the topic whose they are.
DEEPER: dict[str, type[BaseModel]] = {
    "sources.*.smears": SmearOptions,
    "pretraining.smears": SmearOptions,
    "shipped.cells.trainings.*.changes": CellRecipe,
}
# Keys that are written out before the options are made (complete.with_repetitions).
_SHORTHAND: dict[type[BaseModel], dict[str, Any]] = {Regimen: {"seeds": list[int], "search": dict[str, Any]}}


def matches(pattern: str, path: tuple[str, ...]) -> bool:
    """Whether a path is one of a pattern such as `sources.*.smears`."""
    parts = pattern.split(".")
    return len(parts) == len(path) and all(one in ("*", other) for one, other in zip(parts, path, strict=True))


def type_of(kind: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - annotations
    """Annotation of what stands at `path`, whose parent is annotated `kind`; None if there can be no such key."""
    deeper = next((each for pattern, each in DEEPER.items() if matches(pattern, path)), None)
    if deeper is not None:
        return deeper
    if kind in (Any, object, dict):
        return Any
    if get_origin(kind) in (Union, types.UnionType):
        return next((inside for each in get_args(kind) if (inside := type_of(each, path)) is not None), None)
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if is_model(kind):
        field = kind.model_fields.get(path[-1])
        return _SHORTHAND.get(kind, {}).get(path[-1]) if field is None else field.annotation
    return None


def type_at(path: tuple[str, ...]) -> Any:  # noqa: ANN401 - an annotation
    """Annotation of what stands at a path of the parameters; None if there can be no such key."""
    kind: Any = Plan
    for end in range(1, len(path) + 1):
        kind = type_of(kind, path[:end])
    return kind


def fields_of(kind: Any) -> list[str]:  # noqa: ANN401 - any annotation
    """Keys of an options model, or of those of a union."""
    if get_origin(kind) in (Union, types.UnionType):
        return [name for each in get_args(kind) for name in fields_of(each)]
    return list(kind.model_fields) if is_model(kind) else []


def is_model(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether an annotation is that of an options model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_group(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether what has this annotation must be a mapping."""
    return is_model(kind) or get_origin(kind) is dict


def options_in(kind: Any) -> Any:  # noqa: ANN401 - annotations
    """Options model of the entries of a group whose keys are free names; None for everything else."""
    entry = get_args(kind)[1] if get_origin(kind) is dict else None
    return entry if is_model(entry) else None


@cache
def named_groups() -> tuple[tuple[str, ...], ...]:
    """Paths of groups whose keys are the names of their entries."""
    return tuple(_named_groups(Plan, ()))


def _named_groups(kind: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in kind.model_fields.items():
        entry = options_in(field.annotation)
        if entry is not None and "name" in entry.model_fields:
            yield (*path, name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _named_groups(field.annotation, (*path, name))
