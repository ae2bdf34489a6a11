"""Saved results of the other pipelines, sorted by section; whatever has not run yet is simply not in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Results:
    """`unified` by part; `sources` and `regimens` by name, then part. None values are left out."""

    unified: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    regimens: dict[str, dict[str, Any]] = field(default_factory=dict)


def collect(results: dict[str, Any]) -> Results:
    """Sort `<section>__<name>__<part>` arguments into sections."""
    found = Results()
    for key, value in results.items():
        if value is None:
            continue
        section, *rest = key.split("__")
        if section == "unified":
            found.unified[rest[0]] = value
        else:
            group = found.sources if section == "source" else found.regimens
            group.setdefault(rest[0], {})[rest[1]] = value
    return found
