"""Speed of finding, cutting, measuring and labelling the red cells of all of BCCD."""

from __future__ import annotations

import os
from itertools import cycle
from pathlib import Path

import cv2
import pandas as pd
from common import Step, glance, parameters, peak_memory_mb, seconds, table

from blood_kedro.library.core.crop_set import write_crops
from blood_kedro.library.core.groups import Groups
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
    rates = {}
    for workers in (1, os.cpu_count() or 1):
        took = seconds(lambda w=workers: _all(bccd, raw / "bccd", work / str(w), w))  # type: ignore[misc]
        rates[workers] = len(bccd.index) / took
    rows = (f"{workers} | {len(bccd.index) / rate:.1f} | {rate:.1f}" for workers, rate in rates.items())
    lines += table("workers | seconds | images/s", rows)
    files = [raw / "bccd" / path for path in bccd.index["path"]]
    limit = ("decode alone", len(files) / seconds(lambda: [cv2.imread(str(file)) for file in files]))
    memory = peak_memory_mb(_alone, 0, work)
    return lines + glance(
        [Step("cut and label red cells of BCCD, one process, images/s", limit, rates[1], None, memory)]
    )


def _alone(_count: int, work: Path) -> None:
    """Job of `peak_memory_mb`; the folder of the data comes by the environment, as for `make bench`."""
    folder = Path(os.environ["BLOOD_KEDRO_RAW"]).expanduser() / "bccd"
    _all(ingest(SOURCES["bccd"], folder, strict=False), folder, work, 1)


def _each_alone(index: pd.DataFrame) -> Groups:
    """Every picture in a group of its own, the parts in turn: nothing is judged here."""
    names = [str(name) for name in index["image_id"]]
    return Groups({name: name for name in names}, dict(zip(names, cycle(("train", "val", "test")))))


def _all(bccd: SourceTables, folder: Path, work: Path, workers: int) -> None:
    entry = parameters()["overlap"]["crops"]["overlap_bccd"]
    options = CropOptions(**{**entry, "workers": workers})
    rows: list[dict[str, object]] = []
    pictures = annotated(bccd.index, bccd.annotations, _each_alone(bccd.index), options.cell_px)
    write_crops(work, cut_red_cells(folder, pictures, options, RejectLog("bccd"), rows), options.side_px)
    measured = with_parts(pd.DataFrame(rows), set(), options)
    rules = RuleOptions()
    weak_labels(measured, votes(measured, rules, area_threshold(measured, rules)), rules.combined)
