"""Counts beside those that somebody made by hand (Rao et al. 2024, sections 3.7 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.counting.options import Kind


def count_accuracy(counts: pd.DataFrame, by_hand: Mapping[str, Mapping[Kind, int]]) -> dict[str, dict[str, Any]]:
    """How near the counts of some smears come to those by hand.

    Accuracy is `1 - |counted - by hand| / by hand` of the sums. Where too few are counted it is the published ratio of
    counted to real cells, which would exceed 1 where too many are.

    Args:
        counts: one row per smear, with `smear` and a column for each kind of cell.
        by_hand: of each smear that was counted, by name: cells of each kind.

    Returns:
        Of each kind: `counted`, `by_hand`, `smears` (that were counted by hand), `accuracy` (None where there is no
        cell by hand).

    Raises:
        ConfigurationError: there is no such smear.
    """
    strangers = sorted(set(by_hand) - set(counts["smear"]))
    if strangers:
        raise ConfigurationError(
            "a smear that was counted by hand is not there",
            where="sam_counting.inputs: counted_by_hand",
            got=", ".join(strangers),
            expected=f"names of smears: {', '.join(map(str, counts['smear'][:8]))}",
        )
    rows = counts.set_index("smear")
    accuracies: dict[str, dict[str, Any]] = {}
    for kind in sorted({kind for cells in by_hand.values() for kind in cells}):
        known = {smear: cells[kind] for smear, cells in by_hand.items() if kind in cells}
        counted, real = int(rows.loc[list(known), kind].sum()), sum(known.values())
        accuracy = 1 - abs(counted - real) / real if real else None
        accuracies[kind] = {"counted": counted, "by_hand": real, "smears": len(known), "accuracy": accuracy}
    return accuracies
