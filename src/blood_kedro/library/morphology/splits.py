"""Who is trained on, stopped by, and tested on, in each run of a variant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.training.splits import Indices, fold_groups, split_groups


@dataclass(frozen=True)
class Run:
    """Rows of the table of cells; `name` is `repeat_fold`, or the scanner that is tested on."""

    name: str
    train: Indices
    val: Indices
    test: Indices


def runs(table: pd.DataFrame, options: Classifier) -> list[Run]:
    """Every training of a variant, at most `options.runs` of them.

    A fifth of the groups is tested on in every run; `repeats` times, the others are dealt into `folds` parts, each of
    which stops a training on the rest (paper 003, section 4.3). Groups stay whole and classes are spread evenly.

    Args:
        table: cells to use, with `class`, `group_id` and `scanner`, index from 0.
        options: of the variant.

    Raises:
        ConfigurationError: there are too few groups, or no scanner is known.
    """
    labels = table["class"].to_numpy()
    groups = np.arange(len(table)) if options.split_by == "cell" else pd.factorize(table["group_id"])[0]
    everything = np.arange(len(table))
    if options.split_by == "scanner":
        made = _by_scanner(table, labels, groups, options)
    else:
        rest, test = split_groups(everything, labels, groups, options.test_share, options.seed)
        made = [
            Run(f"{repeat + 1}_{fold + 1}", train, val, test)
            for repeat in range(options.repeats)
            for fold, (train, val) in enumerate(
                fold_groups(rest, labels, groups, options.folds, seed_for(options.seed, "repeat", repeat))
            )
        ]
    return made[: options.runs]


def segmentation_split(table: pd.DataFrame, options: Segmenter) -> Run:
    """One split of cells with masks: the groups or images `test_groups`, or a share of groups, are tested on.

    Raises:
        ConfigurationError: there are too few groups, or no group has such a name.
    """
    labels = table["shape"].fillna(table["label"]).fillna("").to_numpy()
    groups = pd.factorize(table["group_id"])[0]
    if options.test_groups:
        named = (table["group_id"].isin(options.test_groups) | table["image_id"].isin(options.test_groups)).to_numpy()
        if not named.any() or named.all():
            raise ConfigurationError(
                "test_groups leave nothing to train on or to test on", where="segmenter.test_groups",
                got=", ".join(options.test_groups), expected=f"some of {', '.join(sorted(set(table['group_id'])))}",
            )  # fmt: skip
        rest, test = np.flatnonzero(~named), np.flatnonzero(named)
        # Few smears are left: their tiles, not their cells, are what must not stand on both sides.
        groups = pd.factorize(table["tile_group"].fillna(table["image_id"]))[0]
    else:
        rest, test = split_groups(np.arange(len(table)), labels, groups, options.test_share, options.seed)
    train, val = split_groups(rest, labels, groups, options.val_share / (1 - options.test_share), options.seed + 1)
    return Run("1", train, val, test)


def _by_scanner(
    table: pd.DataFrame, labels: npt.NDArray[np.object_], groups: Indices, options: Classifier
) -> list[Run]:
    scanners = sorted(table["scanner"].dropna().unique())
    if len(scanners) < 2:
        raise ConfigurationError(
            "leaving out one scanner needs several", where=f"classifier {options.name}: split_by", got=str(scanners)
        )
    made = []
    for scanner in scanners:
        here = (table["scanner"] == scanner).to_numpy()
        train, val = split_groups(np.flatnonzero(~here), labels, groups, options.test_share, options.seed)
        made.append(Run(str(scanner), train, val, np.flatnonzero(here)))
    return made
