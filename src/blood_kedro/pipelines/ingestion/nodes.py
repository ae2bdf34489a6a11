"""Nodes of ingestion."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter
from blood_kedro.library.sources.synthetic import simulated_truth

_LOG = logging.getLogger(__name__)


def generate_smears(raw_folder: Path, smears: dict[str, Any], seed: int) -> Path:
    """Write the generated smears, unless the folder already holds them."""
    from blood_kedro.library.smears.write import write_smears

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
    """Read one source: image index, raw annotations, masks, rejects, and a summary of them, which is said in a line."""
    reader = adapter(source)
    tables = ingest(
        reader, raw_folder, strict=on_bad_input == "raise", limit=source.limit, merge_twins=source.merge_twins
    )
    account = tables.account
    remedy = f"; look at {source.name}.rejects" if account.worth_a_warning else ""
    level = logging.WARNING if account.worth_a_warning else logging.INFO
    _LOG.log(level, "source %s: %s%s", source.name or reader.name, account.text(), remedy)
    summary = {
        "images": len(tables.index),
        "images_found": account.pictures.found,
        "images_rejected": account.pictures.rejected,
        "annotations_found": account.labels.found,
        "annotations": len(tables.annotations),
        "annotations_rejected": account.labels.rejected,
        "commonest_reasons": dict(account.reasons),
        "rejected": int((tables.rejects["action"] == "dropped").sum()),
        "rejects_per_action": tables.rejects.groupby(["kind", "action"])
        .size()
        .rename("n")
        .reset_index()
        .to_dict("records"),
        "licence": reader.licence,
        "annotations_per_class": tables.annotations["label"].value_counts().to_dict(),
    }
    return tables.index, tables.annotations, tables.masks, tables.rejects, summary
