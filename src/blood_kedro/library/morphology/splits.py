"""Who is trained on, stopped by, and tested on, in each run of a variant."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.training.splits import Indices, fold_groups, missing_from_parts, split_groups

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """Rows of the table of cells; `name` is `repeat_fold`, or the scanner that is tested on.

    `missing` says which classes or scanners a part lacks.
    """

    name: str
    train: Indices
    val: Indices
    test: Indices
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstStage:
    """The groups that a segmenter learnt from, in training or validation or by its first weights; and those it did not.

    The latter are those that it was tested on.
    """

    learnt: frozenset[str]
    test: tuple[str, ...]

    @classmethod
    def of(cls, bundle: ModelBundle) -> FirstStage:
        """From the model that `segment.train_segmenter` made.

        Raises:
            ConfigurationError: the model does not say what it learnt from.
        """
        parts: dict[str, list[str]] | None = bundle.config.get("groups")
        if parts is None:
            raise ConfigurationError(
                "a segmenter does not say which slides it learnt from",
                where="masks_from, or weights of a segmenter",
                expected="groups in its configuration",
                remedy="train the segmenter again",
            )
        learnt = frozenset(group for part, names in parts.items() if part != "test" for group in names)
        return cls(learnt, tuple(group for group in parts["test"] if group not in learnt))


def runs(table: pd.DataFrame, options: Classifier, first: FirstStage | None = None) -> list[Fold]:
    """Every training of a variant, at most `options.runs` of them.

    A fifth of the groups (or those that are named) is tested on in every run; `repeats` times, the others are dealt
    into `folds` parts, each of which stops a training on the rest (Elmanna et al. 2024, section 4.3). Groups stay
    whole and classes are spread evenly. Where a segmenter finds the masks, the groups it was tested on are those tested
    on here, so that no tested cell is seen through a mask that is better than a new slide's would be.

    Args:
        table: cells to use, with `class`, `group_id`, `image_id`, `slide`, `scanner` and `has_mask`, index from 0.
        options: of the variant.
        first: of the segmenter that finds masks.

    Raises:
        ConfigurationError: there are too few groups, no scanner is known, no group has such a name, or cells would be
            tested on whose masks come from a segmenter that learnt from their slide.
    """
    labels = table["class"].to_numpy()
    groups = np.arange(len(table)) if options.split_by == "cell" else pd.factorize(table["group_id"])[0]
    if options.split_by == "scanner":
        folds = _by_scanner(table, labels, groups, options)
    else:
        train_val, test = _tested(table, labels, groups, options, first)
        folds = [
            Fold(f"{repeat + 1}_{fold + 1}", train, val, test)
            for repeat in range(options.repeats)
            for fold, (train, val) in enumerate(
                fold_groups(train_val, labels, groups, options.folds, seed_for(options.seed, "repeat", repeat))
            )
        ]
    folds = folds[: options.runs]
    if first is not None and options.segmented:
        for run in folds:
            _never_learnt(table, run, options, first)
    return [_with_missing(run, table, labels, f"classifier {options.name}, run {run.name}") for run in folds]


def _tested(
    table: pd.DataFrame, labels: npt.NDArray[np.object_], groups: Indices, options: Classifier, first: FirstStage | None
) -> tuple[Indices, Indices]:
    """Rows without and with those to test on."""
    where = f"classifier {options.name}: test_groups"
    if options.test_groups:
        return _named(table, options.test_groups, where)
    if first is not None and options.segmented and options.split_by == "group":
        here = set(table["group_id"])
        unseen = [group for group in first.test if group in here]
        if here & first.learnt and not unseen:
            raise ConfigurationError(
                "no slide is left to test on that the segmenter of masks_from did not learn from",
                where=where,
                got=f"it learnt from {', '.join(sorted(here & first.learnt))}",
                remedy="give the segmenter test_groups, or name slides here that it did not learn from",
            )
        if unseen:
            return _named(table, unseen, where)
    return split_groups(np.arange(len(table)), labels, groups, options.test_share, options.seed)


def _never_learnt(table: pd.DataFrame, run: Fold, options: Classifier, first: FirstStage) -> None:
    """No cell is tested on whose mask comes from a segmenter that learnt from its slide."""
    tested = table.iloc[run.test]
    segmented = tested if options.masks == "predicted" else tested[~tested["has_mask"].to_numpy(bool)]
    both = sorted(set(segmented["group_id"]) & first.learnt)
    if both:
        raise ConfigurationError(
            "cells are tested on whose masks come from a segmenter that learnt from their slide",
            where=f"classifier {options.name}, run {run.name}",
            got=", ".join(both),
            expected=f"test_groups among {', '.join(first.test) or 'none: the segmenter learnt from every slide'}",
            remedy="leave test_groups empty, or name those of the segmenter; split_by: group; or take given masks",
        )


def segmentation_split(table: pd.DataFrame, options: Segmenter) -> Fold:
    """One split of cells with masks: the groups, slides or images `test_groups`, or a share of groups, are tested on.

    Where so few groups are left that they cannot be dealt between training and validation, their images are.

    Raises:
        ConfigurationError: there are too few groups, or no group has such a name.
    """
    labels = table["shape"].fillna(table["label"]).fillna("").to_numpy()
    # A slide has one scanner: shapes alone would leave it to chance which scanners a part gets.
    strata = (labels + "|" + table["scanner"].fillna("").astype(object)).to_numpy(object)
    groups, where = pd.factorize(table["group_id"])[0], f"segmenter {options.name}: test_groups"
    val_share = options.val_share / (1 - options.test_share)
    if options.test_groups:
        train_val, test = _named(table, options.test_groups, where)
        if len(np.unique(groups[train_val])) < max(2, round(1 / val_share)):
            logger.warning("%s: few slides are left, so their tiles are dealt to training and validation", where)
            groups = pd.factorize(table["tile_group"].fillna(table["image_id"]))[0]
    else:
        train_val, test = split_groups(np.arange(len(table)), strata, groups, options.test_share, options.seed)
    train, val = split_groups(train_val, strata, groups, val_share, options.seed + 1)
    return _with_missing(Fold("1", train, val, test), table, labels, f"segmenter {options.name}")


def _named(table: pd.DataFrame, names: Collection[str], where: str) -> tuple[Indices, Indices]:
    """Rows without and with the groups, slides or images that have such names.

    Raises:
        ConfigurationError: a name is nobody's, or one of the two would be empty.
    """
    columns = [table["group_id"], table["slide"], table["image_id"]]
    unknown = sorted(name for name in names if not any((column == name).any() for column in columns))
    named = np.logical_or.reduce([column.isin(list(names)).to_numpy() for column in columns])
    if unknown or not named.any() or named.all():
        raise ConfigurationError(
            "groups to test on are not there, or nothing is left to train on or to test on",
            where=where,
            got=", ".join(unknown or sorted(names)) or "none",
            expected=f"some of {', '.join(sorted(set(columns[0])))}",
            remedy="name groups, slides or images of the source",
        )
    return np.flatnonzero(~named), np.flatnonzero(named)


def _by_scanner(
    table: pd.DataFrame, labels: npt.NDArray[np.object_], groups: Indices, options: Classifier
) -> list[Fold]:
    scanners = sorted(table["scanner"].dropna().unique())
    if len(scanners) < 2:
        raise ConfigurationError(
            "leaving out one scanner needs several", where=f"classifier {options.name}: split_by", got=str(scanners)
        )
    folds = []
    for scanner in scanners:
        here = (table["scanner"] == scanner).to_numpy()
        train, val = split_groups(np.flatnonzero(~here), labels, groups, options.test_share, options.seed)
        folds.append(Fold(str(scanner), train, val, np.flatnonzero(here)))
    return folds


def _with_missing(run: Fold, table: pd.DataFrame, labels: npt.NDArray[np.object_], where: str) -> Fold:
    """The run, and which classes, or scanners where each part should have all, a part of it lacks."""
    parts = {"train": run.train, "val": run.val, "test": run.test}
    missing = missing_from_parts(labels, parts, "class", where)
    scanners = table["scanner"].to_numpy(object)
    if run.name not in set(scanners):  # else a scanner is left out on purpose
        missing += missing_from_parts(scanners, parts, "scanner", where)
    return replace(run, missing=tuple(missing))
