"""Pixel-identical images: one is kept, with the labels of all (Chula has 22 such pairs, labelled differently)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.core.tables import records


def merge_identical(
    images: pd.DataFrame, labels: pd.DataFrame, pairs: pd.DataFrame, same_point_px: float
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Keep one of each set of pixel-identical images and give it the labels of all.

    A cell that two copies label alike is kept once. Where they disagree, nobody knows: the cell becomes an ignore
    region. An unlabelled cell of one copy that another copy labels is labelled.
    """
    same = pairs[pairs["kind"] == "same_pixels"]
    keeper_of = dict(zip(same["image_b"], same["image_a"], strict=True))
    labels = labels.assign(ignore=labels["ignore"].astype(bool))
    source_of = dict(zip(images["image_id"], images["source"], strict=True))
    path_of = dict(zip(images["image_id"], images["path"], strict=True))
    rejects: list[dict[str, object]] = []

    def reject(image_id: str, kind: str, reason: str) -> None:
        rejects.append(
            {
                "source": source_of[image_id],
                "path": path_of[image_id],
                "row": None,
                "kind": kind,
                "action": "merged",
                "reason": reason,
            }
        )

    parts = [labels[~labels["image_id"].isin([*keeper_of, *keeper_of.values()])]]
    for keeper in sorted(set(keeper_of.values())):
        copies = [keeper, *sorted(name for name, its_keeper in keeper_of.items() if its_keeper == keeper)]
        for copy in copies[1:]:
            reject(copy, "image", f"same pixels as {keeper}: labels merged into it")
        together = labels[labels["image_id"].isin(copies)].sort_values("ignore", kind="stable")
        if together.empty:
            continue  # images without a cell
        merged = _unite(
            together, same_point_px, lambda row: reject(str(row["image_id"]), "annotation", _disagrees(row))
        )
        parts.append(merged.assign(image_id=keeper))
    united = pd.concat(parts, ignore_index=True)
    order = {name: k for k, name in enumerate(images["image_id"])}
    united = united.iloc[np.argsort(united["image_id"].map(order).to_numpy(), kind="stable")].reset_index(drop=True)
    return images[~images["image_id"].isin(keeper_of)], united, conform(Rejects, rejects)


def _disagrees(row: dict[str, Any]) -> str:
    return f"{row['annotation_id']} says {row['label']}, its twin image says otherwise: ignored"


def _unite(labels: pd.DataFrame, same_point_px: float, on_conflict: Callable[[dict[str, Any]], None]) -> pd.DataFrame:
    united: list[dict[str, Any]] = []
    centres: list[tuple[float, float]] = []
    for row in records(labels):
        centre = ((row["x_min_px"] + row["x_max_px"]) / 2, (row["y_min_px"] + row["y_max_px"]) / 2)
        near = [k for k, (x, y) in enumerate(centres) if np.hypot(x - centre[0], y - centre[1]) < same_point_px]
        twin = next(
            (k for k in near if united[k]["annotation_id"].split("#")[0] != row["annotation_id"].split("#")[0]), None
        )
        if twin is None:
            united.append(row)
            centres.append(centre)
        elif not row["ignore"] and united[twin]["label"] != row["label"]:
            united[twin] = {**united[twin], "ignore": True, "label": _common(united[twin]["label"], row["label"])}
            on_conflict(row)
    return pd.DataFrame(united, columns=labels.columns)


def _common(a: str, b: str) -> str:
    """The lowest class above both labels; the coarse class of the first where there is none."""
    above_b = taxonomy.ancestors(b)
    return next((name for name in taxonomy.ancestors(a) if name in above_b), taxonomy.coarse(a))
