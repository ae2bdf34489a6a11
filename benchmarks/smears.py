"""Speed and memory of the simulator."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
from common import Step, glance, peak_memory_mb, seconds, table

from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears


def report(_raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Simulator", "", "200 fields of 512x512 px with masks and truth, as PNG and COCO.", ""]
    ways = simulator_table(work)
    lines += table("way | fields/s | cells per field", (f"{n} | {rate:.1f} | {cells:.0f}" for n, rate, cells in ways))
    peaks = {count: peak_memory_mb(_simulate_small_fields, count, work) for count in (500, 10000)}
    lines += table("fields of 128x128 px | peak MB, all processes", (f"{n} | {mb:.0f}" for n, mb in peaks.items()))
    limit = ("their PNG alone", _encoded(work / "fields1/images"))
    return lines + glance([Step("draw and write fields, one process, fields/s", limit, ways[0][1], None, peaks[10000])])


def _encoded(folder: Path) -> float:
    """Fields per second, written again as they are."""
    pictures = [np.asarray(cv2.imread(str(path))) for path in sorted(folder.iterdir())]
    return len(pictures) / seconds(lambda: [cv2.imencode(".png", picture) for picture in pictures])


def _simulate_small_fields(count: int, work: Path) -> None:
    options = SmearOptions(
        slides=25, fields_per_slide=count // 25, width_px=128, height_px=128, cells_per_field={"normal_rbc": 4}
    )
    write_smears(work, options, 0, workers=0)


def simulator_table(work: Path) -> list[tuple[str, float, float]]:
    """Fields per second, drawn and written with masks and truth, and cells per field."""
    options = SmearOptions(
        slides=25,
        fields_per_slide=8,
        width_px=512,
        height_px=512,
        density_spread=0.0,
        cells_per_field={"normal_rbc": 50, "teardrop": 4, "platelet": 4, "segmented_neutrophil": 1, "lymphocyte": 1},
    )
    rows = []
    for workers in (1, os.cpu_count() or 1):
        folder = work / f"fields{workers}"
        rate = 200 / seconds(lambda w=workers, f=folder: write_smears(f, options, 0, w))  # type: ignore[misc]
        cells = len(json.loads((folder / "annotations.json").read_text())["annotations"]) / 200
        rows.append((f"{workers} worker{'s' if workers > 1 else ''}", rate, cells))
    return rows
