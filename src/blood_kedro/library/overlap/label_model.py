"""From votes to probabilities: Dawid and Skene's model (crowd-kit), and what it thinks of each rule.

Dawid and Skene (Applied Statistics 28, 1979) take rules as independent given the truth. Rules that look at the same
outline are not, so the probabilities are surer than they should be; the report puts the model's opinion of a rule
beside its accuracy where a truth is known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from crowdkit.aggregation import DawidSkene

from blood_kedro.library.core.tables import records
from blood_kedro.library.overlap.rules import ABSTAIN, MOST_CELLS, OVERLAPPING, count_votes

Floats = npt.NDArray[np.float64]
_ITERATIONS = 100


def combine(said: pd.DataFrame, classes: list[int]) -> tuple[Floats, dict[str, dict[int, dict[int, float]]]]:
    """Probability of each class for each crop, and the estimated confusion of each rule.

    Args:
        said: votes, one column per rule; -1 abstains.
        classes: the values that a vote can have besides.

    Returns:
        `(N, len(classes))`, NaN where every rule abstains; and rule -> true class -> said class -> probability.
    """
    values = said.to_numpy()
    tasks, columns = np.nonzero(values != ABSTAIN)
    result = np.full((len(said), len(classes)), np.nan)
    if not len(tasks):
        return result, {}
    long = pd.DataFrame(
        {"task": tasks, "worker": said.columns.to_numpy()[columns], "label": values[tasks, columns].astype(int)}
    )
    model = DawidSkene(n_iter=_ITERATIONS)
    posteriors = model.fit_predict_proba(long)
    rows = posteriors.index.to_numpy(int)
    result[rows] = 0.0
    for k, value in enumerate(classes):
        if value in posteriors.columns:
            result[rows, k] = posteriors[value].to_numpy(float)
    confusion: dict[str, dict[int, dict[int, float]]] = {}
    errors = pd.DataFrame(model.errors_).reset_index().melt(["worker", "label"])
    errors.columns = pd.Index(["rule", "said", "true", "probability"])
    for row in records(errors):
        confusion.setdefault(row["rule"], {}).setdefault(int(row["true"]), {})[int(row["said"])] = row["probability"]
    return result, confusion


def weak_labels(
    table: pd.DataFrame, said: pd.DataFrame, rules: tuple[str, ...]
) -> tuple[pd.DataFrame, dict[str, dict[int, dict[int, float]]]]:
    """Probabilistic labels of overlap and of the number of cells.

    The rules in `rules` decide whether a cell overlaps; where it does, area and peaks decide whether two, three, or
    four and more cells are in it.

    Returns:
        Per crop: `overlapping`, the probability, and `cells_1` to `cells_4`; NaN where no rule says anything. And the
        estimated confusion of each rule.
    """
    overlap, confusion = combine(said[list(rules)], [0, OVERLAPPING])
    several = count_votes(table)
    several = several.where(several > 1, ABSTAIN).astype(np.int8)
    counts, _ = combine(several, list(range(2, MOST_CELLS + 1)))
    # Nothing but "several" is known: two is the usual number, and the label says no more than that.
    unknown = np.isnan(counts).any(axis=1)
    counts[unknown] = [1.0, 0.0, 0.0]
    labels = pd.DataFrame({"overlapping": overlap[:, 1], "cells_1": overlap[:, 0]}, index=table.index)
    for k in range(2, MOST_CELLS + 1):
        labels[f"cells_{k}"] = overlap[:, 1] * counts[:, k - 2]
    return labels, confusion


def describe_rules(
    table: pd.DataFrame, said: pd.DataFrame, labels: pd.DataFrame, confusion: dict[str, dict[int, dict[int, float]]]
) -> pd.DataFrame:
    """One row per rule, and one for the combination.

    Columns: `coverage`, the share of crops it speaks of; `overlapping`, what share of these it calls overlapping;
    `conflict`, the share where another rule says the opposite; `estimated_accuracy`, what the label model believes;
    `accuracy` and `judged`, its accuracy on the crops whose truth is known and it speaks of, and their number.
    """
    values = said.to_numpy()
    truth = table["true_cells"].to_numpy(float)
    prior = float(np.nanmean(labels["overlapping"])) if labels["overlapping"].notna().any() else float("nan")
    rows: list[dict[str, Any]] = []
    for k, rule in enumerate(said.columns):
        spoke = values[:, k] != ABSTAIN
        others = np.delete(values, k, axis=1)
        opposed = ((others != ABSTAIN) & (others != values[:, [k]])).any(axis=1) & spoke
        of_rule = confusion.get(str(rule), {})
        right = [of_rule.get(true, {}).get(true, float("nan")) for true in (0, OVERLAPPING)]
        rows.append(
            {
                "rule": rule,
                "coverage": float(spoke.mean()),
                "overlapping": _mean(values[spoke, k] == OVERLAPPING),
                "conflict": float(opposed.mean()),
                "estimated_accuracy": (1 - prior) * right[0] + prior * right[1],
                **_judged(values[:, k] == OVERLAPPING, truth, spoke),
            }
        )
    combined = labels["overlapping"].to_numpy(float)
    spoke = ~np.isnan(combined)
    rows.append(
        {
            "rule": "combined",
            "coverage": float(spoke.mean()),
            "overlapping": _mean(combined[spoke] > 0.5),
            "conflict": float("nan"),
            "estimated_accuracy": _mean(np.maximum(combined, 1 - combined)[spoke]),
            **_judged(combined > 0.5, truth, spoke),
        }
    )
    return pd.DataFrame(rows)


def _judged(said: npt.NDArray[np.bool_], truth: Floats, spoke: npt.NDArray[np.bool_]) -> dict[str, float]:
    known = spoke & ~np.isnan(truth)
    return {"accuracy": _mean(said[known] == (truth[known] > 1)), "judged": int(known.sum())}


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
