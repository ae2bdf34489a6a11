"""Splits that keep groups (slides, images that show the same field) whole and spread classes evenly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.logs import without_warning

Indices = npt.NDArray[np.int64]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowsByPart:
    """Rows of a table: to train on, to choose by (the epoch, the options), and to test on."""

    train: Indices
    val: Indices
    test: Indices


def split_groups(
    rows: Indices, labels: npt.NDArray[np.object_], groups: Indices, share: float, seed: int
) -> tuple[Indices, Indices]:
    """Rows without and with about a share of the groups.

    Raises:
        ConfigurationError: there are too few groups.
    """
    parts = fold_groups(rows, labels, groups, max(2, round(1 / share)), seed)
    return parts[0]


def fold_groups(
    rows: Indices, labels: npt.NDArray[np.object_], groups: Indices, folds: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Rows dealt into `folds` parts: of each part, the rows outside and inside of it.

    Args:
        rows: which rows to deal.
        labels: class of every row there is, `(N,)`.
        groups: group of every row there is, `(N,)`.
        folds: number of parts.
        seed: decides the deal.

    Raises:
        ConfigurationError: there are fewer groups than parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(groups[rows])) < folds:
        raise ConfigurationError(
            f"{folds} parts need as many groups (slides, or images)",
            got=str(len(np.unique(groups[rows]))),
            where="split",
            remedy="give more slides, fewer folds, or a larger share",
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    # A class of fewer cells than parts is missing in some: every figure says of how many cells of a class it is.
    with without_warning("least populated class"):
        parts = list(splitter.split(rows, labels[rows], groups[rows]))
    return [(rows[train], rows[held_out]) for train, held_out in parts]


def missing_from_parts(
    labels: npt.NDArray[np.object_], parts: Mapping[str, Indices], what: str, where: str
) -> list[str]:
    """Which classes (or scanners, or sources) a part of a split lacks though another part has them.

    Groups that stay whole can make that unavoidable. Each part that lacks something is warned of in the log; the same
    sentences are returned, so that they can be kept with the result.

    Args:
        labels: class, scanner or source of every row there is, `(N,)`; rows without one (None, NaN) count for nothing.
        parts: rows of each part, by its name.
        what: what `labels` are, for the reader: "class", "scanner" or "source".
        where: which split, for the reader: a setting or the name of a run.
    """
    held = {name: set(labels[rows][pd.notna(labels[rows])]) for name, rows in parts.items()}
    everything = set().union(*held.values())
    notes = [
        f"{where}: {name} holds no {what} {', '.join(sorted(map(str, everything - present)))}: "
        "give more slides or images of it, a larger share, or fewer folds"
        for name, present in held.items()
        if everything - present
    ]
    for note in notes:
        logger.warning("%s", note)
    return notes
