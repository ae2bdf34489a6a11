"""Options as plain data and back, for machines that have no pydantic (a GPU node with torch and little else).

Options are checked where a run is configured. What is written from there is complete and right, so the other side only
needs to read it: the same attributes, not the same class.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def to_plain(options: Any) -> dict[str, Any]:  # noqa: ANN401 - a pydantic model, or what from_plain returned
    """Options as a JSON-like dictionary."""
    if isinstance(options, SimpleNamespace):
        return {name: _plain(value) for name, value in vars(options).items()}
    plain: dict[str, Any] = options.model_dump(mode="json")
    return plain


def from_plain(values: dict[str, Any]) -> Any:  # noqa: ANN401 - stands for the options that were written
    """Options with the attributes of those that `to_plain` wrote; dictionaries become options too."""
    return SimpleNamespace(**{name: _options(value) for name, value in values.items()})


def _plain(value: Any) -> Any:  # noqa: ANN401
    return to_plain(value) if isinstance(value, SimpleNamespace) else value


def _options(value: Any) -> Any:  # noqa: ANN401
    return from_plain(value) if isinstance(value, dict) else value
