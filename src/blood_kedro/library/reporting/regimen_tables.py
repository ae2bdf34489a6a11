"""Tables of the report that set regimens beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from blood_kedro.library.core.taxonomy import SAHAY_2025
from blood_kedro.library.evaluation.resampling import paired_difference
from blood_kedro.library.reporting.published_sahay_2025 import AP_50_PER_CLASS


def per_class(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Table IV rows in the paper's order, then classes that only our corpus has."""
    measured = {name: parts["metrics"] for name, parts in regimens.items()}
    pair = compared(regimens)
    extra = [c for m in measured.values() for c in m["ap_50_per_class"] if c not in SAHAY_2025]
    return [
        {
            "class": label,
            "published": AP_50_PER_CLASS.get(label),
            "ours": {
                name: (m["ap_50_per_class"].get(label), m["ap_50_interval_95_per_class"].get(label))
                for name, m in measured.items()
            },
            "published_delta": _difference(AP_50_PER_CLASS.get(label)),
            "delta": _difference([measured[name]["ap_50_per_class"].get(label) for name in pair]),
            "objects": next((m["objects_per_class"].get(label, 0) for m in measured.values()), 0),
        }
        for label in [*SAHAY_2025, *dict.fromkeys(extra)]
    ]


def compared(regimens: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """The two regimens whose difference Table IV gives: those of the paper, else the only two; none across data."""
    names = ("regimen_1", "regimen_2") if {"regimen_1", "regimen_2"} <= set(regimens) else tuple(regimens)
    data = {regimens[name]["metrics"]["data_fingerprint"] for name in names}
    return names if len(names) == 2 and len(data) == 1 else ()


def _difference(values: Sequence[float | None] | None) -> float | None:
    """The second minus the first; None where either is undefined."""
    if not values or values[0] is None or values[1] is None:
        return None
    return values[1] - values[0]


def differences(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every two regimens that were scored on the same data: the second minus the first, paired over groups."""
    rows = []
    for one, other in combinations(regimens, 2):
        first, second = regimens[one]["metrics"], regimens[other]["metrics"]
        if first["data_fingerprint"] == second["data_fingerprint"]:
            paired = {name: paired_difference(first, second, name) for name in ("map", "map_50", "map_75", "mar_100")}
            rows.append({"first": one, "second": other, "by": {name: f for name, f in paired.items() if f is not None}})
    return rows


def repetitions(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Studies that ran a regimen several times, scored on the same data: how far AP and AP50 spread."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for parts in regimens.values():
        repeated = parts["metrics"]["repeats"]
        if repeated:
            groups.setdefault((repeated, parts["metrics"]["data_fingerprint"]), []).append(parts["metrics"])
    rows = []
    for (repeated, _), runs in groups.items():
        values = {name: np.array([run[name] for run in runs if run[name] is not None]) for name in ("map", "map_50")}
        spread = {
            name: (float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else None, float(v.min()), float(v.max()))
            for name, v in values.items()
            if len(v)
        }
        rows.append({"regimen": repeated, "runs": len(runs), "by": spread})
    return rows


def by_source(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each source that was scored on: each regimen's metrics there, and whether it was left out."""
    names = dict.fromkeys(source for parts in regimens.values() for source in parts["metrics"]["by_source"])
    return [
        {
            "source": source,
            "by": {
                name: {
                    **parts["metrics"]["by_source"].get(source, {}),
                    "unseen": parts["metrics"]["regimen"]["leave_out"] == source,
                }
                for name, parts in regimens.items()
            },
        }
        for source in names
    ]
