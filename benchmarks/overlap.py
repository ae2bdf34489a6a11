"""Speed of finding, cutting, measuring and labelling the red cells of all of BCCD."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from common import parameters, seconds, table

from blood_kedro.library.core.crop_set import write_crops
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.overlap.gather import annotated, cut_red_cells, with_parts
from blood_kedro.library.overlap.label_model import weak_labels
from blood_kedro.library.overlap.options import CropOptions, RuleOptions
from blood_kedro.library.overlap.rules import area_threshold, votes
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.registry import SOURCES


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Overlap: crops and labels", ""]
    if not (raw / "bccd").is_dir():
        return [*lines, "Not measured: no bccd/ under raw_root (make bench RAW=<folder>).", ""]
    bccd = ingest(SOURCES["bccd"], raw / "bccd", strict=False)
    lines += [f"All {len(bccd.index)} images of BCCD: decode, segment, cut, measure, vote, label model.", ""]
    rows = []
    for workers in (1, os.cpu_count() or 1):
        took = seconds(lambda w=workers: _all(bccd, raw / "bccd", work / str(w), w))  # type: ignore[misc]
        rows.append(f"{workers} | {took:.1f} | {len(bccd.index) / took:.1f}")
    return lines + table("workers | seconds | images/s", rows)


def _all(bccd: SourceTables, folder: Path, work: Path, workers: int) -> None:
    entry = parameters()["overlap"]["crops"]["overlap_bccd"]
    options = CropOptions(**{**entry, "workers": workers})
    rows: list[dict[str, object]] = []
    pictures = annotated(bccd.index, bccd.annotations, {}, options.cell_px)
    write_crops(work, cut_red_cells(folder, pictures, options, RejectLog("bccd"), rows), options.side_px)
    measured = with_parts(pd.DataFrame(rows), options, 0)
    rules = RuleOptions()
    weak_labels(measured, votes(measured, rules, area_threshold(measured, rules)), rules.combined)
