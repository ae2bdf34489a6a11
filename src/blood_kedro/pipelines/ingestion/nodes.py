"""Nodes of ingestion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter
from blood_kedro.library.sources.synthetic import simulated_truth


def generate_smears(raw_folder: Path, smears: dict[str, Any], seed: int) -> Path:
    """Write the generated smears, unless the folder already holds them."""
    write_smears(raw_folder, SmearOptions(**smears), seed, workers=0)
    return raw_folder


def fetch_source(target_folder: Path, name: str, download: DownloadOptions) -> Path:
    """Fetch a published set that is not there yet, where downloads are switched on; other sources are left alone."""
    from blood_kedro.library.download.fetch import fetch
    from blood_kedro.library.download.published import published

    if name in published():
        fetch(name, published()[name], target_folder, download)
    return target_folder


def read_truth(raw_folder: Path) -> pd.DataFrame:
    """What only the simulator knows of its cells: overlap, clumps, centres."""
    return simulated_truth(raw_folder)


def ingest_source(
    raw_folder: Path, source: SourceOptions, on_bad_input: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read one source: image index, raw annotations, masks, rejects, and a summary of them."""
    reader = adapter(source)
    tables = ingest(
        reader, raw_folder, strict=on_bad_input == "raise", limit=source.limit, merge_twins=source.merge_twins
    )
    lost = (tables.rejects["kind"] == "annotation") & tables.rejects["action"].isin(["dropped", "merged"])
    summary = {
        "images": len(tables.index),
        "annotations_found": len(tables.annotations) + int(lost.sum()),
        "annotations": len(tables.annotations),
        "rejected": int((tables.rejects["action"] == "dropped").sum()),
        "rejects_per_action": tables.rejects.groupby(["kind", "action"]).size().rename("n").reset_index()
        .to_dict("records"),
        "licence": reader.licence,
        "annotations_per_class": tables.annotations["label"].value_counts().to_dict(),
    }  # fmt: skip
    return tables.index, tables.annotations, tables.masks, tables.rejects, summary
