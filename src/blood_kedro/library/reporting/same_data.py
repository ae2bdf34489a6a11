"""Which saved results belong into one report: those that were measured on the data which it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blood_kedro.library.core.records import Record, why_not

# Section of the report to the pipelines that make its results.
_MADE_BY = {
    "sources": "ingestion,standardization",
    "unified": "ingestion,standardization,merging",
    "regimens": "detection_training",
    "segmenters": "rbc_morphology",
    "classifiers": "rbc_morphology",
    "morphology": "rbc_morphology",
    "overlap_crops": "overlap_weak_supervision",
    "overlap_classifiers": "overlap_weak_supervision",
    "kind_classifiers": "sam_counting",
    "smear_inputs": "sam_counting",
}
# Several pipelines cut cells; the record says which node did.
_CUT_CELLS = "rbc_morphology,overlap_weak_supervision,sam_counting"


@dataclass(frozen=True)
class LeftOut:
    """A result that is not of this corpus: parts, why, and the command that measures it again."""

    section: str
    name: str
    parts: tuple[str, ...]
    why: str
    command: str


def of_one_corpus(
    results: Mapping[str, Any], records: Mapping[str, Record], environment: str
) -> tuple[dict[str, Any], list[LeftOut]]:
    """Split results into those that belong together and those that are left out.

    Args:
        results: by argument, `<section>__<part>` or `<section>__<name>__<part>`; None where nothing was saved.
        records: of every saved dataset.
        environment: of the report.
    """
    current: dict[str, Any] = {}
    left_out: dict[tuple[str, str, str, str], list[str]] = {}
    for argument, value in results.items():
        if value is None:
            continue
        record = records.get(dataset_of(argument))
        reason = why_not(record, records, environment)
        if reason is None:
            current[argument] = value
        else:
            section, *name, part = argument.split("__")
            key = section, "".join(name) or part, reason, _command(section, record, environment)
            left_out.setdefault(key, []).append(part)
    return current, [
        LeftOut(section, name, tuple(parts), reason, command)
        for (section, name, reason, command), parts in left_out.items()
    ]


def dataset_of(argument: str) -> str:
    """The dataset behind an argument of the nodes."""
    return ".".join(argument.split("__")[1:])


def _command(section: str, record: Record | None, environment: str) -> str:
    env = "" if environment == "base" else f" --env={environment}"
    if section == "cells" and record is not None:
        return f"kedro run{env} --nodes={record.node}"
    return f"kedro run{env} --pipelines={_MADE_BY.get(section, _CUT_CELLS)},reporting"
