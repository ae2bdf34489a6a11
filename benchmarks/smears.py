"""Speed and memory of the simulator."""

from __future__ import annotations

import json
import os
from pathlib import Path

from common import peak_memory_mb, seconds, table

from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears


def report(_raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Simulator", "", "200 fields of 512x512 px with masks and truth, as PNG and COCO.", ""]
    rows = (f"{name} | {rate:.1f} | {cells:.0f}" for name, rate, cells in simulator_table(work))
    lines += table("way | fields/s | cells per field", rows)
    rows = (f"{n} | {peak_memory_mb(_simulate_small_fields, n, work):.0f}" for n in (500, 10000))
    return lines + table("fields of 128x128 px | peak MB, all processes", rows)


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
