"""Saved results of the other pipelines, sorted by section; whatever has not run yet is simply not in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Results:
    """`unified` and `morphology` by part; the others by name, then part. None values are left out."""

    unified: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    regimens: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    segmenters: dict[str, dict[str, Any]] = field(default_factory=dict)
    classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    morphology: dict[str, Any] = field(default_factory=dict)
    overlap_crops: dict[str, dict[str, Any]] = field(default_factory=dict)
    overlap_studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind_classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    smear_inputs: dict[str, dict[str, Any]] = field(default_factory=dict)


def collect(results: dict[str, Any]) -> Results:
    """Sort `<section>__<part>` and `<section>__<name>__<part>` arguments into sections, the fields of `Results`."""
    found = Results()
    for key, value in results.items():
        if value is None:
            continue
        section, *rest = key.split("__")
        group = getattr(found, section)
        if len(rest) == 1:
            group[rest[0]] = value
        else:
            group.setdefault(rest[0], {})[rest[1]] = value
    return found
