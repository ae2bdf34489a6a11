"""Saved results of the other pipelines, sorted by section; whatever has not run yet is simply not in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blood_kedro.library.core.records import Record
from blood_kedro.library.reporting.same_data import LeftOut, dataset_of, of_one_corpus


@dataclass(frozen=True)
class Results:
    """`unified` and `morphology` by part; the others by name, then part. None values are left out.

    `left_out` lists what was measured on other data; `records` are those of what is shown, by dataset.
    """

    unified: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    regimens: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    segmenters: dict[str, dict[str, Any]] = field(default_factory=dict)
    classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    morphology: dict[str, Any] = field(default_factory=dict)
    overlap_crops: dict[str, dict[str, Any]] = field(default_factory=dict)
    overlap_classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind_classifiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    smear_inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)


def collect(results: Mapping[str, Any], records: Mapping[str, Record], environment: str) -> Results:
    """Sort `<section>__<part>` and `<section>__<name>__<part>` arguments into sections, the fields of `Results`.

    Only results of the environment and of the data as they are now are taken (`same_data.py`).
    """
    current, left_out = of_one_corpus(results, records, environment)
    collected = Results(left_out=left_out, records={dataset_of(key): records[dataset_of(key)] for key in current})
    for key, value in current.items():
        section, *names = key.split("__")
        group = getattr(collected, section)
        if len(names) == 1:
            group[names[0]] = value
        else:
            group.setdefault(names[0], {})[names[1]] = value
    return collected
