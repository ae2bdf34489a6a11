"""Nodes of merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.merging.describe import class_table, composition, to_coco
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import FORMATS


def merge(
    unified_folder: Path,
    merging: MergingOptions,
    seed: int,
    **standardized: Any,  # noqa: ANN401 - see pipeline.py
) -> tuple[Path, pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str], pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Algorithm 2. `standardized` holds `<source>__annotations`, `<source>__metadata` and `<source>__images`."""
    from blood_kedro.library.merging.merge import merge_sources
    from blood_kedro.library.standardization.standardize import from_csv

    sources = [name.removesuffix("__images") for name in standardized if name.endswith("__images")]
    merged = merge_sources(
        {name: from_csv(standardized[f"{name}__annotations"]) for name in sources},
        {name: standardized[f"{name}__metadata"] for name in sources},
        {name: standardized[f"{name}__images"].parent for name in sources},
        unified_folder,
        merging,
        seed,
    )
    fingerprint = table_fingerprint(merged.index.drop(columns="path"), merged.annotations)
    summary = {**merged.summary, "data_fingerprint": fingerprint}
    images = unified_folder / "images"
    tables = merged.index, merged.groups, merged.annotations
    return images, *tables, merged.classes, merged.pairs, merged.rejects, summary


def describe(index: pd.DataFrame, annotations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table I and the class table."""
    return composition(index, annotations), class_table(index, annotations)


def coco_per_split(
    index: pd.DataFrame, annotations: pd.DataFrame, classes: list[str], canvas_px: int, sources: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """COCO json of train, val and test."""
    entries = {name: SourceOptions.model_validate(sources[name]) for name in sorted(set(index["source"]))}
    labelled = {name: entry.labelled_classes() for name, entry in entries.items() if entry.adapter in FORMATS}
    train, val, test = (
        to_coco(index, annotations, classes, split, canvas_px, labelled) for split in ("train", "val", "test")
    )
    return train, val, test
