"""The one place where a plan is made: keys checked, everything short written out, every value validated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.plan.complete import complete
from blood_kedro.plan.keys import check_files, read_sections
from blood_kedro.plan.plan import Plan
from blood_kedro.plan.tree import DEEPER, matches

_REMEDY = "correct it; the comments in conf/base/parameters*.yml say what it may be"


def build(parameters: Mapping[str, Any]) -> Plan:
    """The plan of merged parameters, those of the command line among them.

    Args:
        parameters: nested, as files and `--params` have them; completed ones give the same plan.

    Raises:
        ConfigurationError: a key that nothing reads, or values that cannot be meant; each is named.
    """
    return build_completed(written_out(parameters))


def written_out(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Completed parameters, in which `params:` datasets find what the plan says.

    Raises:
        ConfigurationError: there is a key that nothing reads, also one that only `search` has.
    """
    check_files(parameters)
    completed = complete(parameters)
    check_files(completed)
    return completed


def build_completed(parameters: Mapping[str, Any]) -> Plan:
    """The plan of parameters that `written_out` gave.

    Raises:
        ConfigurationError: values that cannot be meant; each is named.
    """
    # A section that a file leaves empty has its defaults.
    sections = {name: value for name, value in read_sections(parameters).items() if value is not None}
    problems = []
    try:
        plan = Plan.model_validate(sections)
    except ValidationError as error:
        problems += _named(error, ())
    for path, value, options in _deeper(sections, ()):
        try:
            options.model_validate(value)
        except ValidationError as error:
            problems += _named(error, path)
    if problems:
        raise ConfigurationError(
            "a parameter has a value that it cannot have",
            where="parameters of files, environment and --params",
            got="; ".join(dict.fromkeys(problems)),
            remedy=_REMEDY,
        )
    return plan


def _deeper(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Plain mappings that are options of another topic: path, value and model."""
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            yield from ((here, value, options) for pattern, options in DEEPER.items() if matches(pattern, here))
            yield from _deeper(value, here)


def _named(error: ValidationError, path: tuple[str, ...]) -> list[str]:
    return [f"{'.'.join([*path, *map(str, each['loc'])])}: {each['msg']}" for each in error.errors()]
