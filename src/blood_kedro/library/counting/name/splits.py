"""Which cutouts a classifier learns from, is chosen by and is tested on (Rao et al. 2024, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.schemas import SPLITS
from blood_kedro.library.counting.options import KindClassifier
from blood_kedro.library.training.splits import Indices, RowsByPart, fold_groups, missing_from_parts, split_groups

# Rao et al. 2024, section 3.4: 75:15:10. Images of sources have the parts of the table of groups instead.
_VAL, _TEST = 0.15, 0.10


def splits(table: pd.DataFrame, options: KindClassifier) -> list[RowsByPart]:
    """Rows of the table of cutouts to train on, choose by and test on: one split, or one for each fold.

    Raises:
        ConfigurationError: a part would be empty, or there are too few groups.
    """
    from sklearn.model_selection import train_test_split

    rows, labels = np.arange(len(table)), table["label"].to_numpy(object)
    seed = seed_for(options.seed, "kinds", options.split)
    if options.split == "published":
        return [
            _by_part(
                table.reindex(columns=["official_split"]).to_numpy(object)[:, 0],
                options,
                "make the cutouts (again) with reader: published",
            )
        ]
    if options.split == "cutout":
        train_val, test = train_test_split(rows, test_size=_TEST, stratify=labels, random_state=seed)
        share = _VAL / (1 - _TEST)
        train, val = train_test_split(train_val, test_size=share, stratify=labels[train_val], random_state=seed)
        return [RowsByPart(train, val, test)]
    groups = pd.factorize(table["group_id"])[0]
    if options.folds:
        folds = fold_groups(rows, labels, groups, options.folds, seed)
        return [RowsByPart(*_without_val(train_val, labels, groups, seed), test) for train_val, test in folds]
    part = np.array(table["part"], object)
    unassigned = np.flatnonzero(pd.isna(part))
    if len(unassigned):
        train_val, test = split_groups(unassigned, labels, groups, _share(_TEST, groups[unassigned]), seed)
        train, val = _without_val(train_val, labels, groups, seed)
        part[train], part[val], part[test] = SPLITS
    return [_by_part(part, options, "give more images")]


def _by_part(part: npt.NDArray[np.object_], options: KindClassifier, remedy: str) -> RowsByPart:
    split = RowsByPart(*(np.flatnonzero(part == name) for name in SPLITS))
    if not all(map(len, (split.train, split.val, split.test))):
        raise ConfigurationError(
            f"split {options.split} needs the parts train, val and test",
            where=f"classifier {options.name}: split",
            got=str(sorted(map(str, set(part)))),
            remedy=f"{remedy}, or choose another split",
        )
    return split


def _without_val(rows: Indices, labels: npt.NDArray[np.object_], groups: Indices, seed: int) -> tuple[Indices, Indices]:
    return split_groups(rows, labels, groups, _share(_VAL / (1 - _TEST), groups[rows]), seed)


def missing(table: pd.DataFrame, dealt: Sequence[RowsByPart], options: KindClassifier) -> list[str]:
    """What parts of the splits lack: kinds and sources."""
    notes = []
    for number, split in enumerate(dealt, start=1):
        where = f"classifier {options.name}, split {number}"
        for what, column in (("kind", "label"), ("source", "source")):
            notes += missing_from_parts(table[column].to_numpy(object), vars(split), what, where)
    return notes


def _share(wanted: float, groups: Indices) -> float:
    """The share, or that of one group where there are so few."""
    return max(wanted, 1 / max(len(np.unique(groups)), 1))
