"""The one shape of a registry: from a name in the parameters to a class that does the work, its options beside it.

A registry is a plain mapping, so that adding to it is one file (the class) and one line (its name).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from blood_kedro.library.core.errors import ConfigurationError

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class Choice(ABC, Generic[OptionsT]):
    """What a name in the parameters stands for.

    `Options` is the type of `options`: what all choices of a registry read, and, in a subclass of that type, what one
    needs that the others leave empty, or has besides.
    """

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: OptionsT) -> None:
        self.options = options


ChoiceT = TypeVar("ChoiceT", bound=Choice[Any])
EntryT = TypeVar("EntryT")


def chosen(registry: Mapping[str, EntryT], name: str, where: str) -> EntryT:
    """What stands under a name.

    Args:
        registry: names and, most often, classes.
        name: as the parameters have it.
        where: it stands in the parameters.

    Raises:
        ConfigurationError: there is no such name.
    """
    if name not in registry:
        near = get_close_matches(name, registry, n=1)
        raise ConfigurationError(
            "this name stands for nothing",
            where=where,
            got=name,
            expected=f"one of {', '.join(registry)}",
            remedy=f"write {near[0]}" if near else "correct it, or register it (docs/extending.md)",
        )
    return registry[name]


def choose(
    registry: Mapping[str, type[ChoiceT]], name: str, entry: BaseModel, own_options: Mapping[str, object], where: str
) -> ChoiceT:
    """What a name stands for, made with its options.

    Args:
        registry: names and classes.
        name: as the parameters have it.
        entry: of the parameters, with what all choices share; what none of them reads is left out.
        own_options: what this one alone has.
        where: the name stands in the parameters.

    Raises:
        ConfigurationError: there is no such name, or options are missing, wrong or unknown to it.
    """
    kind = chosen(registry, name, where)
    read = entry.model_fields_set & kind.Options.model_fields.keys()
    shared = {each: getattr(entry, each) for each in read}
    try:
        return kind(kind.Options.model_validate({**shared, **own_options}))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ") for each in error.errors()]
        raise ConfigurationError(
            f"{name} cannot be used with these options",
            where=where,
            got="; ".join(problems),
            remedy="docs/extending.md lists what each one reads",
        ) from error
