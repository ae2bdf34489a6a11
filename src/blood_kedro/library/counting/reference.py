"""Counts and masks beside a reference: labelled cells of a source, or masks that others made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.counting.agreement import agree
from blood_kedro.library.counting.count import cells_by_instance, single_cell_area
from blood_kedro.library.counting.join import join_across_borders
from blood_kedro.library.counting.kinds import KINDS
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment import Masks, Precomputed, filtered, prepared, without_spots
from blood_kedro.library.counting.smear import Smear

IOUS = (0.5, 0.75)


def with_reference(
    counts: pd.DataFrame, cells: pd.DataFrame, index: pd.DataFrame, annotations: pd.DataFrame
) -> pd.DataFrame:
    """Add `reference_rbc, reference_wbc, reference_platelet`: labelled cells of each image.

    Slivers at the edge that a source marks as ignored are left to the counter: they are in the reference where it
    counted one. Images without any label get 0.

    Args:
        counts: one row per smear; a smear is an image of the source.
        cells: that were counted, with `smear`, `x_px`, `y_px`.
        index: image index of the source.
        annotations: its raw annotations.

    Raises:
        ConfigurationError: several images have one name, so that nobody knows which a smear is.
    """
    stems = index["path"].map(lambda path: Path(str(path)).stem)
    if stems.duplicated().any():
        raise ConfigurationError(
            "images of a source that is counted need different names", where="sam_counting.inputs: source",
            got=str(stems[stems.duplicated()].iloc[0]), remedy="give path: the folder, without a reference",
        )  # fmt: skip
    names = {Path(str(row["path"])).stem: str(row["image_id"]) for row in records(index)}
    by_image = dict(tuple(annotations.assign(kind=annotations["label"].map(coarse)).groupby("image_id")))
    by_smear = dict(tuple(cells.groupby("smear")))
    rows = []
    for smear in counts["smear"]:
        labelled = by_image.get(names[smear], annotations.iloc[:0].assign(kind=""))
        found = by_smear.get(smear, cells.iloc[:0])[["x_px", "y_px"]].to_numpy(np.float64)
        ignored = labelled["ignore"].astype(bool).to_numpy()
        boxes = labelled[BOX_COLUMNS].to_numpy(np.float64)
        inside = (found[None] >= boxes[:, None, :2]) & (found[None] < boxes[:, None, 2:])
        met = np.any(np.all(inside, axis=2), axis=1)
        kinds = labelled["kind"].to_numpy(object)[~ignored | met]
        rows.append({f"reference_{kind}": int((kinds == kind).sum()) for kind in KINDS})
    return pd.concat([counts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def errors(counts: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Of each kind: counted and labelled cells, mean absolute error and bias per image, error of the sum in per cent.

    95% bootstrap intervals over images; for red cells also by each rule, and for thirds of the images by their density.
    """
    rows = {kind: (kind, f"reference_{kind}", counts) for kind in KINDS}
    rows |= {f"rbc_{rule}": (f"rbc_{rule}", "reference_rbc", counts) for rule in ("instances", "kde_peaks", "mode")}
    rows |= {name: ("rbc", "reference_rbc", part) for name, part in _by_density(counts)}
    return {name: _error(part[one], part[other], resamples, seed) for name, (one, other, part) in rows.items()}


def _by_density(counts: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Thirds of the images, from few to many labelled red cells; nothing where there are too few images."""
    if len(counts) < 9:
        return []
    order = counts.sort_values("reference_rbc", kind="stable")
    parts = [order.iloc[rows] for rows in np.array_split(np.arange(len(order)), 3)]
    return [(f"rbc_density_{k}", part) for k, part in enumerate(parts, start=1)]


def _error(counted: pd.Series, labelled: pd.Series, resamples: int, seed: int) -> dict[str, Any]:
    ours, theirs = counted.to_numpy(float), labelled.to_numpy(float)
    difference, total = ours - theirs, float(theirs.sum())
    drawn = _drawn(len(ours), resamples, seed)
    return {
        "counted": float(ours.sum()), "labelled": total, "images": len(ours),
        "labelled_per_image": [float(theirs.min()), float(theirs.max())],
        "mean_absolute_error": float(np.abs(difference).mean()), "bias": float(difference.mean()),
        "sum_error_percent": 100 * float(difference.sum()) / total if total else None,
        "interval_95": {
            "mean_absolute_error": _limits(np.abs(difference)[drawn].mean(axis=1)),
            "bias": _limits(difference[drawn].mean(axis=1)),
        },
    }  # fmt: skip


def _limits(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else [None, None]


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
        Of each smear: `f1_50, f1_75` with 95% bootstrap intervals over tiles, `tiles, found, reference` (masks),
        `count, reference_count, count_error_percent`, and of single tiles (not joined) `mean_absolute_error, bias`.
    """
    folder = Precomputed(Path(str(options.reference_masks)))
    return {smear.name: _agreement(smear, masks, folder, options) for smear, masks in smears}


def _agreement(smear: Smear, masks: Masks, folder: Precomputed, options: SmearInput) -> dict[str, Any]:
    tiles = [_tile(smear, k, masks.pieces[k], folder, options) for k in range(len(smear.grid.places))]
    sizes = np.array([[len(tile.found), len(tile.known)] for tile in tiles], float)
    drawn = _drawn(len(tiles), options.resamples, options.seed)
    result: dict[str, Any] = {"tiles": len(tiles)}
    for iou in IOUS:
        matched = np.array([agree(tile.found, tile.known, iou).matched for tile in tiles], float)
        name = f"f1_{round(100 * iou)}"
        result[name] = float(2 * matched.sum() / max(sizes.sum(), 1))
        draws = 2 * matched[drawn].sum(axis=1) / np.maximum(sizes.sum(axis=1)[drawn].sum(axis=1), 1)
        result[f"{name}_interval_95"] = _limits(draws)
    difference = sizes[:, 0] - sizes[:, 1]
    counts = [_instances(smear, [getattr(tile, side) for tile in tiles]) for side in ("found", "known")]
    return {
        **result, "found": int(sizes[:, 0].sum()), "reference": int(sizes[:, 1].sum()), "count": counts[0],
        "reference_count": counts[1], "count_error_percent": 100 * (counts[0] - counts[1]) / max(counts[1], 1),
        "mean_absolute_error": float(np.abs(difference).mean()), "bias": float(difference.mean()),
        "mean_absolute_error_interval_95": _limits(np.abs(difference)[drawn].mean(axis=1)),
    }  # fmt: skip


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
    """Cells of a smear: joined masks, oversized ones by their area."""
    numbers = join_across_borders(smear.grid, pieces)
    areas = np.bincount(numbers, [float(each.area_px2) for tile in pieces for each in tile])[1:].astype(np.float64)
    single = single_cell_area(areas)
    return int(cells_by_instance(areas, single, np.ones(len(areas))).sum())


def _drawn(count: int, resamples: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    rng = np.random.default_rng(seed_for(seed, "reference"))
    return rng.integers(0, count, (resamples, count))
