"""CPU time of the watershed segmenter on tiles, beside the least that it does: decode, smooth, distance, flood."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from common import Step, glance, peak_memory_mb, table
from skimage.segmentation import watershed

from blood_kedro.library.counting.segment.options import WatershedOptions
from blood_kedro.library.counting.segment.watershed import watershed_pieces
from blood_kedro.library.imaging.regions import components
from blood_kedro.library.imaging.segmentation import foreground
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions

TILES, REPEATS, CELL_PX = 8, 5, 36.0
_LEAST = "decode, Gaussian, distance, flooding, once each"


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    files = _files(raw, work)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rates = _rates(files)
    finally:
        cv2.setNumThreads(threads)
    ours = rates[-1][1]
    rows = [f"{name} | {rate:.2f} | {ours / rate:.3f}" for name, rate in rates]
    limit = 1 / sum(1 / rate for _, rate in rates[:-1])
    memory = peak_memory_mb(segment_all, len(files), work)
    return [
        "## Watershed",
        "",
        f"{len(files)} tiles of 512x512 px ({'real: Ojaghi' if files[0].parent != work else 'generated'}), one thread, "
        f"CPU time, best of {REPEATS} alternated repeats. `ours` is all of the segmenter, from pixels to masks. Peak "
        f"memory of a process that does nothing else: {memory:.0f} MB.",
        "",
        *table("step | megapixels per CPU second | ours / this", rows),
        *glance([Step("watershed segmenter, one thread, megapixels/s", (_LEAST, limit), ours, None, memory)]),
    ]


def _files(raw: Path, work: Path) -> list[Path]:
    """Tiles of the two smears in turn, or generated ones where there are none."""
    folder = raw / "ojaghi/grid_images"
    if folder.is_dir():
        files = sorted(folder.glob("*.png"))
        return files[:: max(1, len(files) // TILES)][:TILES]
    cells = {"normal_rbc": 90, "lymphocyte": 1, "platelet": 4}
    options = SmearOptions(slides=1, fields_per_slide=TILES, width_px=512, height_px=512, cells_per_field=cells)
    for number in range(TILES):
        cv2.imwrite(str(work / f"{number}.png"), simulate_field(options, 0, 1, number).rgb[..., ::-1])
    return sorted(work.glob("*.png"))


def _read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))


def _rates(files: list[Path]) -> list[tuple[str, float]]:
    """Megapixels per CPU second of each step, over all tiles."""
    pictures = [_read(path) for path in files]
    green = [np.asarray(rgb[..., 1], np.float32) for rgb in pictures]
    masks = [foreground(rgb, CELL_PX) for rgb in pictures]
    distances = [cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) for mask in masks]
    markers = [components(distance > CELL_PX / 4).labels for distance in distances]
    floods = list(zip(distances, markers, masks, strict=True))
    steps: list[tuple[str, Callable[[], object]]] = [
        ("decode alone", lambda: [_read(path) for path in files]),
        ("one Gaussian, sigma 16 px, float32", lambda: [cv2.GaussianBlur(each, (0, 0), 16) for each in green]),
        (
            "one distance transform",
            lambda: [cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) for mask in masks],
        ),
        ("one watershed of scikit-image", lambda: [watershed(-d, seeds, mask=mask) for d, seeds, mask in floods]),
        ("ours", lambda: [watershed_pieces(rgb, WatershedOptions()) for rgb in pictures]),
    ]
    best = dict.fromkeys((name for name, _ in steps), float("inf"))
    for _ in range(REPEATS):  # alternating, so that a slow spell of the machine hits all
        for name, step in steps:
            start = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - start)
    megapixels = sum(mask.size for mask in masks) / 1e6
    return [(name, megapixels / seconds) for name, seconds in best.items()]


def segment_all(_count: int, _work: Path) -> None:
    """Job of `peak_memory_mb`: a generated tile, twenty times."""
    options = SmearOptions(
        slides=1, fields_per_slide=1, width_px=512, height_px=512, cells_per_field={"normal_rbc": 90, "platelet": 4}
    )
    rgb = simulate_field(options, 0, 1, 0).rgb
    for _ in range(20):
        watershed_pieces(rgb, WatershedOptions())
