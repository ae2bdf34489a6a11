"""What answers of a classifier of cells are worth: by laboratory, over shared classes, above a threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core import taxonomy
from blood_kedro.library.shipped.eight_shapes import SINGLE_SHAPES, as_eight, shape_of
from blood_kedro.library.shipped.type_options import TypeModel
from blood_kedro.library.shipped.type_scores import figures, rolled_up

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
OnStep = Callable[[dict[str, float]], None]


def parents(classes: Sequence[str]) -> dict[str, str]:
    """The class of the taxonomy above each class."""
    return {name: above for name in classes if (above := taxonomy.PARENT.get(name)) is not None}


def five_figures(logs: Floats, table: pd.DataFrame, options: TypeModel) -> dict[str, Any]:
    """Figures over the classes that all laboratories name, of the cells that have one of them."""
    return _figures_over(logs, table, options, options.five)


def _figures_over(logs: Floats, table: pd.DataFrame, options: TypeModel, view: Sequence[str]) -> dict[str, Any]:
    """Figures of the cells that have a class of a view, among the classes of that view."""
    types = [taxonomy.roll_up(t, view) for t in table["type"]]
    known = np.array([t is not None for t in types])
    truth = np.array([view.index(t) for t in types if t is not None], np.int64)
    view_logs = rolled_up(logs[known], options.classes, view, parents(options.classes))
    groups = table["group_id"].to_numpy()[known]
    return figures(truth, view_logs, groups, view, resamples=options.resamples, seed=options.seed)


def judged_by_laboratory(logs: Floats, table: pd.DataFrame, options: TypeModel) -> dict[str, Any]:
    """Figures of each laboratory over the classes of its labels, kinds of a class counted as that class."""
    by_laboratory = {}
    for laboratory in sorted(table["laboratory"].unique()):
        in_laboratory = (table["laboratory"] == laboratory).to_numpy()
        # A laboratory that says neutrophil is not asked for bands.
        view = whole_types(options.classes)
        labels = {taxonomy.roll_up(t, view) for t in table["type"][in_laboratory]}
        named = [name for name in view if name in labels]
        by_laboratory[laboratory] = _figures_over(logs[in_laboratory], table[in_laboratory], options, named)
    return by_laboratory


def whole_types(classes: Sequence[str]) -> list[str]:
    """Classes without their kinds: bands and segmented ones are neutrophils; shapes of red cells stay apart."""
    return list(
        dict.fromkeys(
            name if taxonomy.PARENT[name] in (None, "wbc", "rbc") else str(taxonomy.PARENT[name]) for name in classes
        )
    )


def eight_figures(logs: Floats, table: pd.DataFrame, options: TypeModel) -> dict[str, Any]:
    """Figures over the eight shapes of Elmanna et al. 2024."""
    truth = np.array([SINGLE_SHAPES.index(shape_of(t)) for t in table["type"]], np.int64)
    eight_logs, groups = as_eight(logs, options.classes), table["group_id"].to_numpy()
    return figures(truth, eight_logs, groups, SINGLE_SHAPES, resamples=options.resamples, seed=options.seed)


def at_threshold(logs: Floats, meant: npt.NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """What is answered above a threshold: share of cells, how many answers are right, and what is taken for what.

    Args:
        logs: log-probabilities `(N, C)`.
        meant: `(N, C)`, classes that each label allows.
        threshold: of the likeliest class.

    Returns:
        `threshold`, `share_answered`, `accuracy`, and `confusion` of the cells whose label allows a single class: rows
        are what they are, columns the answers, the last one those that were not answered.
    """
    answered, answer, number = np.exp(logs.max(axis=1)) >= threshold, logs.argmax(axis=1), logs.shape[1]
    right = meant[np.arange(len(meant)), answer]
    accuracy = float(right[answered].mean()) if answered.any() else float("nan")
    known = meant.sum(axis=1) == 1
    confusion = np.zeros((number, number + 1), np.int64)
    np.add.at(confusion, (meant[known].argmax(axis=1), np.where(answered, answer, number)[known]), 1)
    share = float(answered.mean())
    return {"threshold": threshold, "share_answered": share, "accuracy": accuracy, "confusion": confusion.tolist()}


def answer_rows(table: pd.DataFrame, logs: Floats, classes: Sequence[str], part: str) -> pd.DataFrame:
    """One row per cell with the likeliest class and its probability; `logs (N, C)` are log-probabilities."""
    named = np.array(classes, object)[logs.argmax(axis=1)]
    cells = table[["cell_id", "image_id", "group_id", "type", "x_px", "y_px"]]
    return cells.assign(part=part, answer=named, sureness=np.exp(logs.max(axis=1)))
