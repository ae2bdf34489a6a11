"""Counts and masks beside a reference: labelled cells of a source, or masks that others made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.counting.agreement import agree
from blood_kedro.library.counting.cells import joined_masks
from blood_kedro.library.counting.count import cells_by_instance, single_cell_area
from blood_kedro.library.counting.join import join_across_borders
from blood_kedro.library.counting.kinds import KINDS
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece, solidity
from blood_kedro.library.counting.segment import Masks, Precomputed, filtered, prepared, without_spots
from blood_kedro.library.counting.smear import Smear
from blood_kedro.library.evaluation.resampling import (
    IMAGES,
    Floats,
    intervals,
    mean_error_intervals,
    numbered,
    ratio,
    sums_by_group,
)

IOUS = (0.5, 0.75)


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
        row: dict[str, Any] = {f"reference_{kind}": int((kinds[~ignored] == kind).sum()) for kind in KINDS}
        row |= {f"ignored_{kind}": int((kinds[ignored] == kind).sum()) for kind in KINDS}
        rows.append({**row, "group": groups.facts(image)["group_id"]})
    return pd.concat([counts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def errors(counts: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Of each kind: counted and labelled cells, mean absolute error and bias per image, error of the sum in per cent.

    With 95% intervals over groups of images; for red cells also by each rule, and for thirds of the images by their
    density. `ignored` are slivers that are in neither the reference nor, one hopes, the count.

    Args:
        counts: of `with_reference`.
        resamples: draws of groups.
        seed: of the draws.
    """
    rows = {kind: (kind, f"reference_{kind}", counts) for kind in KINDS}
    rows |= {f"rbc_{rule}": (f"rbc_{rule}", "reference_rbc", counts) for rule in ("instances", "kde_peaks", "mode")}
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


@dataclass(frozen=True)
class _Reference:
    """Masks of one tile: of the segmenter and of the reference, px of the smear, inside the tile's core."""

    found: list[Piece]
    known: list[Piece]


def mask_agreement(smears: Sequence[tuple[Smear, Masks]], options: SmearInput) -> dict[str, Any]:
    """How well masks agree with those of `options.reference_masks`, and counts with theirs.

    The reference goes through the same filter (one mask for each cell); spots too small for a cell are left out on both
    sides. Counts are instances, joined across the borders of tiles on both sides.

    Returns:
        Of each smear: `f1_50, f1_75` with 95% intervals over its tiles (other smears may differ by more), `tiles,
        found, reference` (masks), `count, reference_count, count_error_percent`, and of single tiles (not joined)
        `mean_absolute_error, bias`.
    """
    folder = Precomputed(Path(str(options.reference_masks)))
    return {smear.name: _agreement(smear, masks, folder, options) for smear, masks in smears}


def _agreement(smear: Smear, masks: Masks, folder: Precomputed, options: SmearInput) -> dict[str, Any]:
    tiles = [_tile(smear, k, masks.pieces[k], folder, options) for k in range(len(smear.grid.places))]
    sizes = np.array([[len(tile.found), len(tile.known)] for tile in tiles], np.float64)
    matched = [[agree(tile.found, tile.known, iou).matched for tile in tiles] for iou in IOUS]
    names = [f"f1_{round(100 * iou)}" for iou in IOUS]
    sums = np.column_stack([*np.array(matched, np.float64), sizes.sum(axis=1)])

    def statistic(weights: Floats) -> Floats:
        drawn = weights @ sums
        return np.asarray(2 * drawn[:, :-1] / np.maximum(drawn[:, -1:], 1), np.float64)

    unit = "tiles of one smear"
    made = intervals(statistic, names, len(tiles), unit=unit, resamples=options.resamples, seed=options.seed)
    difference = sizes[:, 0] - sizes[:, 1]
    by_tile = mean_error_intervals(difference, np.arange(len(tiles)), options.resamples, options.seed, unit)
    counts = [_instances(smear, [getattr(tile, side) for tile in tiles]) for side in ("found", "known")]
    return {
        "tiles": len(tiles),
        **dict(zip(names, statistic(np.ones((1, len(tiles))))[0].tolist(), strict=True)),
        **{f"{name}_interval_95": limits for name, limits in made.limits.items()},
        "interval_basis": made.basis,
        "found": int(sizes[:, 0].sum()),
        "reference": int(sizes[:, 1].sum()),
        "count": counts[0],
        "reference_count": counts[1],
        "count_error_percent": 100 * (counts[0] - counts[1]) / max(counts[1], 1),
        "mean_absolute_error": float(np.abs(difference).mean()),
        "bias": float(difference.mean()),
        "mean_absolute_error_interval_95": by_tile.limits["mean_absolute_error"],
    }


def _tile(smear: Smear, k: int, found: list[Piece], folder: Precomputed, options: SmearInput) -> _Reference:
    place = smear.grid.places[k]
    rgb, _ = prepared(smear.read(place), options)
    by_cells = options.model_copy(update={"filter_rule": "cells"})
    known, _ = filtered(folder(place.name, rgb, Rejects(place.name)), rgb, by_cells)
    known = without_spots(known, place.height, place.width, options)
    inside = [each.moved(place.left, place.top).clipped(place.core_xyxy_px) for each in known]
    own = [each.moved(-place.left, -place.top) for each in found]
    own = without_spots(own, place.height, place.width, options)
    return _Reference(
        [each.moved(place.left, place.top) for each in own], [each for each in inside if each is not None]
    )


def _instances(smear: Smear, pieces: list[list[Piece]]) -> int:
    """Cells of a smear: joined masks; one that is oversized and not convex is several, by its area."""
    numbers = join_across_borders(smear.grid, pieces)
    joined = joined_masks([each for tile in pieces for each in tile], numbers)
    areas = np.array([each.area_px2 for each in joined], np.float64)
    solidities = np.array([solidity(each.mask) for each in joined], np.float64)
    return int(cells_by_instance(areas, single_cell_area(areas), solidities).sum())
