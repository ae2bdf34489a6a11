"""Who is trained on and who is tested on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.merging.options import MergingOptions, PartOptions

MODES = ("grouped", "paper", "official")


def split_images(
    index: pd.DataFrame, class_counts: pd.DataFrame, options: MergingOptions, mode: str, seed: int
) -> pd.Series:
    """Split of every image, in the order of `index`.

    Args:
        index: with `source`, `duplicate_group` and `official_split`.
        class_counts: labelled cells of each class, one row per image of `index`, one column per class.
        options: fractions.
        mode: `grouped` keeps duplicate groups (and slides) whole and balances classes and sources; `paper` is the
            plain random split of Sahay 2025, section III-E; `official` keeps what a source publishes and splits the
            other sources by group.
        seed: global seed.
    """
    rng = np.random.default_rng(seed_for(seed, "split", mode))
    fractions = {"train": 1 - options.val_fraction - options.test_fraction, "val": options.val_fraction}
    if options.test_fraction:
        fractions["test"] = options.test_fraction
    if mode == "paper":
        names = _plain(len(index), fractions, rng)
    else:
        names = _by_group(index, class_counts, fractions, rng)
        if mode == "official":
            official = index["official_split"].to_numpy(object)
            names = np.where(pd.isna(official), names, official)
    return pd.Series(names, index=index.index, dtype="str")


def parts_of_groups(
    pictures: pd.DataFrame, class_counts: pd.DataFrame, held_out: set[str], shares: PartOptions, seed: int
) -> pd.Series:
    """Part of every image, in the order of `pictures`: the same for all images of a group, drawn once.

    Args:
        pictures: with `source` and `duplicate_group`.
        class_counts: labelled cells of each class, one row per picture, one column per class.
        held_out: groups that the grouped split of the corpus keeps from training; all are tested on.
        shares: of the parts.
        seed: global seed.
    """
    fractions = {"train": 1 - shares.val - shares.test, "val": shares.val, "test": shares.test}
    rng = np.random.default_rng(seed_for(seed, "parts"))
    names = _by_group(pictures, class_counts, fractions, rng, dict.fromkeys(held_out, "test"))
    return pd.Series(names, index=pictures.index, dtype="str")


def leak(splits: pd.Series, index: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, int]:
    """What a split lets through: duplicate groups and pairs that stand on both sides of it."""
    by_group = splits.groupby(index["duplicate_group"].to_numpy()).nunique()
    split_of = dict(zip(index["image_id"], splits, strict=True))
    both = [(split_of.get(a), split_of.get(b)) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)]
    crossing = sum(a is not None and b is not None and a != b for a, b in both)
    in_train = set(index.loc[(splits == "train").to_numpy(), "duplicate_group"])
    exposed = ((splits != "train").to_numpy() & index["duplicate_group"].isin(in_train).to_numpy()).sum()
    return {
        "groups_crossing_splits": int((by_group > 1).sum()),
        "pairs_crossing_splits": int(crossing),
        "evaluation_images_exposed": int(exposed),
        "train_images": int((splits == "train").sum()),
        "val_images": int((splits == "val").sum()),
        "test_images": int((splits == "test").sum()),
    }


def _plain(count: int, fractions: dict[str, float], rng: np.random.Generator) -> npt.NDArray[np.object_]:
    names = np.full(count, "train", object)
    order, start = rng.permutation(count), 0
    for name, fraction in fractions.items():
        if name != "train":
            size = max(1, round(fraction * count))
            names[order[start : start + size]] = name
            start += size
    return names


def _by_group(
    index: pd.DataFrame,
    class_counts: pd.DataFrame,
    fractions: Mapping[str, float],
    rng: np.random.Generator,
    placed: Mapping[str, str] | None = None,
) -> npt.NDArray[np.object_]:
    """Iterative stratification (Sechidis et al. 2011) over groups: the rarest class still to place goes first.

    `placed` are groups whose part is given.
    """
    codes, groups = pd.factorize(index["duplicate_group"])
    sources = pd.get_dummies(index["source"]).to_numpy(np.float64)
    per_image = np.column_stack([class_counts.to_numpy(np.float64), sources, np.ones(len(index))])
    totals = np.zeros((len(groups), per_image.shape[1]))
    np.add.at(totals, codes, per_image)
    names = list(fractions)
    wanted = np.outer([fractions[name] for name in names], totals.sum(axis=0))
    targets = np.maximum(wanted, 1e-9)
    free = np.ones(len(groups), bool)
    chosen = np.zeros(len(groups), np.int64)
    for group, group_name in enumerate(groups):
        if placed and group_name in placed:
            chosen[group] = names.index(placed[group_name])
            wanted[chosen[group]] -= totals[group]
            free[group] = False
    shuffled = rng.permutation(len(groups))
    while free.any():
        left = (totals[free] > 0).sum(axis=0)  # in groups: cells of a class and images of a source compare in these
        rarest = int(np.argmin(np.where(left > 0, left, np.inf)))
        members = shuffled[free[shuffled] & (totals[shuffled, rarest] > 0)]
        # Large groups first: a small one can still even things out afterwards.
        for group in members[np.argsort(-totals[members, rarest], kind="stable")]:
            missing = wanted[:, [rarest, -1]] / targets[:, [rarest, -1]]  # of this class, and of images in all
            best = int(np.lexsort((wanted[:, rarest], missing[:, 1], missing[:, 0]))[-1])
            chosen[group] = best
            wanted[best] -= totals[group]
            free[group] = False
    return np.array(names, object)[chosen][codes]
