"""Counts beside a reference: the labelled cells of a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.counting.name.cell_types import CELL_TYPES
from blood_kedro.library.evaluation.resampling import (
    IMAGES,
    intervals,
    mean_error_intervals,
    numbered,
    ratio,
    sums_by_group,
)


def with_reference(
    counts: pd.DataFrame, index: pd.DataFrame, annotations: pd.DataFrame, groups: Groups
) -> pd.DataFrame:
    """Add labelled cells of each image, `reference_rbc, reference_wbc, reference_platelet`, and its `group`.

    What was counted has no say in them. Slivers at the edge that a source marks as ignored are not in the reference;
    how many there are stands beside it (`ignored_rbc` and so on): a counter that finds them all is so many above it.
    Images without any label get 0.

    Args:
        counts: one row per smear; a smear is an image of the source.
        index: image index of the source.
        annotations: its raw annotations.
        groups: of the images that show the same field.

    Raises:
        DataContractError: an image is not in the table of groups.
        ConfigurationError: several images have one name, so that nobody knows which a smear is.
    """
    stems = index["path"].map(lambda path: Path(str(path)).stem)
    if stems.duplicated().any():
        raise ConfigurationError(
            "images of a source that is counted need different names",
            where="sam_counting.inputs: source",
            got=str(stems[stems.duplicated()].iloc[0]),
            remedy="give path: the folder, without a reference",
        )
    names = {Path(str(row["path"])).stem: str(row["image_id"]) for row in records(index)}
    by_image = dict(tuple(annotations.assign(kind=annotations["label"].map(coarse)).groupby("image_id")))
    rows = []
    for smear in counts["smear"]:
        image = names[smear]
        labelled = by_image.get(image, annotations.iloc[:0].assign(kind=""))
        ignored = labelled["ignore"].astype(bool).to_numpy()
        kinds = labelled["kind"].to_numpy(object)
        row: dict[str, Any] = {f"reference_{kind}": int((kinds[~ignored] == kind).sum()) for kind in CELL_TYPES}
        row |= {f"ignored_{kind}": int((kinds[ignored] == kind).sum()) for kind in CELL_TYPES}
        rows.append({**row, "group": groups.facts(image)["group_id"]})
    return pd.concat([counts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def errors(counts: pd.DataFrame, rules: Sequence[str], resamples: int, seed: int) -> dict[str, Any]:
    """Of each kind: counted and labelled cells, mean absolute error and bias per image, error of the sum in per cent.

    With 95% intervals over groups of images; for red cells also by each rule, and for thirds of the images by their
    density. `ignored` are slivers that are in neither the reference nor, one hopes, the count.

    Args:
        counts: of `with_reference`.
        rules: names of all rules that red cells were counted by.
        resamples: draws of groups.
        seed: of the draws.
    """
    rows = {kind: (kind, f"reference_{kind}", counts) for kind in CELL_TYPES}
    rows |= {f"rbc_{rule}": (f"rbc_{rule}", "reference_rbc", counts) for rule in rules}
    rows |= {name: ("rbc", "reference_rbc", part) for name, part in _by_density(counts)}
    return {
        name: {
            **_error(part[one], part[other], part["group"], resamples, seed),
            "ignored": int(part[other.replace("reference", "ignored")].sum()),
        }
        for name, (one, other, part) in rows.items()
    }


def _by_density(counts: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Thirds of the images, from few to many labelled red cells; nothing where there are too few images."""
    if len(counts) < 9:
        return []
    order = counts.sort_values("reference_rbc", kind="stable")
    parts = [order.iloc[rows] for rows in np.array_split(np.arange(len(order)), 3)]
    return [(f"rbc_density_{k}", part) for k, part in enumerate(parts, start=1)]


def _error(counted: pd.Series, labelled: pd.Series, groups: pd.Series, resamples: int, seed: int) -> dict[str, Any]:
    ours, theirs = counted.to_numpy(np.float64), labelled.to_numpy(np.float64)
    difference, total = ours - theirs, float(theirs.sum())
    of_images = mean_error_intervals(difference, groups.to_numpy(object), resamples, seed)
    numbers, count = numbered(groups)
    sums = sums_by_group([difference, theirs], numbers, count)
    of_sum = intervals(
        lambda weights: 100 * ratio((weights @ sums)[:, :1], (weights @ sums)[:, 1:]),
        ("sum_error_percent",),
        count,
        unit=IMAGES,
        resamples=resamples,
        seed=seed,
        within={"sum_error_percent": (-100.0, np.inf)},
    )
    return {
        "counted": float(ours.sum()),
        "labelled": total,
        "images": len(ours),
        "labelled_per_image": [float(theirs.min()), float(theirs.max())],
        "mean_absolute_error": float(np.abs(difference).mean()),
        "bias": float(difference.mean()),
        "sum_error_percent": 100 * float(difference.sum()) / total if total else None,
        "interval_95": of_images.limits | of_sum.limits,
        "interval_basis": of_images.basis,
    }
