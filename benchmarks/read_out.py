"""What a user waits for: a field, a photo of 12 megapixels and a slide, from the start of the command to the page."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from common import Step, anonymous_mb, glance, seconds, table
from tests.fixtures.slides import UM_PER_PX, write_svs

from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.imaging.slide import window_of
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions

PHOTO_PX, SLIDES_PX = (4000, 3000), (20_000,)
# A monolayer: some 30% of it is covered, as a slide's fields that are fit for counting are.
MONOLAYER = {"normal_rbc": 440, "segmented_neutrophil": 1, "lymphocyte": 1, "platelet": 20}
_POLL_S = 0.2
# Of a slide so many are read (`most_fields` of the options of an input).
_FIELDS = 60


@dataclass(frozen=True)
class Cost:
    """What a process and its children took; `read_mb` is all that they read from files, libraries included."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    read_mb: float


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Read-outs, from the start of the command to its page", ""]
    inputs = [*_pictures(raw, work), *(_slide(side, work) for side in SLIDES_PX)]
    rows, steps = [], []
    for name, path in inputs:
        megapixels, mb = _size(path)
        cost = _read_out(path, work / "out" / path.stem)
        rows.append(
            f"{name} | {megapixels:,.1f} | {mb:,.1f} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {cost.peak_mb:.0f} | "
            f"{cost.read_mb:,.0f}"
        )
        if "second" in name:
            limit = ("starting Python with its libraries", _started())
            steps.append(Step("read out a field, cold, s", limit, cost.wall_s, None, cost.peak_mb))
        else:
            limit = ("decode", _decoded(path))
            steps.append(Step(f"read out {name}, s", limit, cost.wall_s, None, cost.peak_mb))
    head = "input | megapixels | MB | seconds | CPU seconds | peak MB | MB read, libraries included"
    return [*lines, *table(head, rows), *glance(steps)]


def _started() -> float:
    """Seconds that Python takes to import what a read-out cannot do without."""
    code = "import click, cv2, numpy, onnxruntime, pandas, pydantic, scipy.ndimage"
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def _decoded(path: Path) -> float:
    """Seconds to decode a picture once; of a slide, as many fields as are read of it."""
    if path.suffix != ".svs":
        return seconds(lambda: read_rgb(path))
    boxes = [(1024 * k, 1024 * k, 1024 * (k + 1), 1024 * (k + 1)) for k in range(_FIELDS // 4)]
    return 4 * seconds(lambda: [window_of(path, 0, box) for box in boxes])


def _pictures(raw: Path, work: Path) -> list[tuple[str, Path]]:
    """A field, twice (the first call compiles and warms the disk), and a photo made of it."""
    real = sorted((raw / "bccd/BCCD/JPEGImages").glob("*.jpg"))
    field = read_rgb(real[0]) if real else _field(480)[:, :480]
    paths = work / "field.png", work / "photo.jpg"
    cv2.imwrite(str(paths[0]), field[..., ::-1])
    times = -(-PHOTO_PX[1] // field.shape[0]), -(-PHOTO_PX[0] // field.shape[1]), 1
    cv2.imwrite(str(paths[1]), np.tile(field, times)[: PHOTO_PX[1], : PHOTO_PX[0], ::-1])
    what = "a field of BCCD" if real else "a generated field"
    return [(f"{what}, first call", paths[0]), (f"{what}, second call", paths[0]), ("a photo made of it", paths[1])]


def _slide(side: int, work: Path) -> tuple[str, Path]:
    """An SVS (JPEG tiles, two levels) of one generated field, repeated."""
    field = _field(1000)
    canvas = np.memmap(work / f"{side}.raw", np.uint8, "w+", shape=(side, side, 3))
    for top in range(0, side, 1000):
        for left in range(0, side, 1000):
            canvas[top : top + 1000, left : left + 1000] = field[: side - top, : side - left]
    path = write_svs(work / f"{side}.svs", canvas)
    (work / f"{side}.raw").unlink()
    return f"a generated slide, {side:,} px", path


def _field(side: int) -> np.ndarray:
    options = SmearOptions(
        slides=1, fields_per_slide=1, width_px=side, height_px=side, px_per_um=1 / UM_PER_PX, cells_per_field=MONOLAYER
    )
    return simulate_field(options, 1, 1, 0).rgb


def _size(path: Path) -> tuple[float, float]:
    """Megapixels, and megabytes on the disk."""
    if path.suffix == ".svs":
        return int(path.stem) ** 2 / 1e6, path.stat().st_size / 1e6
    height, width = read_rgb(path).shape[:2]
    return height * width / 1e6, path.stat().st_size / 1e6


def _read_out(path: Path, out: Path) -> Cost:
    command = [str(Path(sys.executable).with_name("blood-kedro")), "read-out", str(path), "--out", str(out)]
    start = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cpu_s: dict[int, float] = {}
    read_mb: dict[int, float] = {}
    peak_mb = 0.0
    while process.poll() is None:
        family = [process, *_children(process)]
        for each in family:
            try:
                times = each.cpu_times()
                cpu_s[each.pid] = times.user + times.system
                read_mb[each.pid] = each.io_counters().read_chars / 1e6
            except psutil.Error:
                continue  # it ended between listing and asking
        peak_mb = max(peak_mb, anonymous_mb(family))
        time.sleep(_POLL_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
    return Cost(time.perf_counter() - start, sum(cpu_s.values()), peak_mb, sum(read_mb.values()))


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []
