"""Speed and memory of counting: segmenters, Rao et al. 2024's own steps after them, and a whole slide."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import published_counting
import tifffile
import torch
from common import Step, glance, peak_memory_mb, seconds, table
from distributed import LocalCluster

from blood_kedro.assembly.count_rules import COUNT_RULES
from blood_kedro.assembly.segmenters import segmenter
from blood_kedro.library.core.model_bundle import ModelBundle, save_bundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import Counted, CountParts, count_pictures
from blood_kedro.library.counting.draw.masks import masks_written, write_smears
from blood_kedro.library.counting.name.namers import ByStain
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.segment.tiles import OnTile
from blood_kedro.library.morphology.networks import build_segmenter
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.training.first_weights import FirstWeights

SIDE = 2048
SLIDES = (5_000, 10_000, 20_000)


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Counting: segmenters", ""]
    lines += [f"A generated smear of {SIDE} x {SIDE} px, tiles of 512 px, to counts and cells (no CNN):", ""]
    _slide(work / "smear.tif", SIDE)
    rows = [f"{name} | {rate:.2f} | {memory:.0f}" for name, rate, memory in _segmenters(work)]
    lines += table("segmenter | megapixels/s | peak MB, all processes", rows)
    lines += ["A plain TIFF of a whole slide, watershed:", ""]
    slides = [_whole_slide(side, work) for side in SLIDES]
    sizes = (f"{side:,} x {side:,} | {took:.0f} | {cells:,} | {mb:.0f}" for side, took, cells, mb in slides)
    lines += table("image, px | seconds | cells | peak MB, all processes", sizes)
    lines += ["The smallest of them, on a Dask cluster of this machine, one thread for each worker (warm):", ""]
    one, two = (_on_dask(workers, work) for workers in (1, 2))
    rows = [f"{n} | {all_:.1f} | {tiles:.1f}" for n, (all_, tiles) in ((1, one), (2, two))]
    rows.append(f"ratio | {one[0] / two[0]:.2f} | {one[1] / two[1]:.2f}")
    lines += table("workers | count, s | of it, tiles, s", rows)
    side, took, _, memory = slides[-1]
    limit = ("one Gaussian, one core", _smoothed(work / f"{side}.tif"))
    lines += glance([Step(f"count a slide of {side:,} px by watershed, s", limit, took, None, memory)])
    return lines + _beside_the_published(raw / "ojaghi", work)


def _smoothed(path: Path) -> float:
    """Seconds for one Gaussian over all of a slide, 1,000 rows at a time."""
    slide = tifffile.memmap(path, mode="r")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return seconds(
            lambda: [
                cv2.GaussianBlur(np.asarray(slide[top : top + 1000, :, 1], np.float32), (0, 0), 16)
                for top in range(0, len(slide), 1000)
            ]
        )
    finally:
        cv2.setNumThreads(threads)


def _slide(path: Path, side: int) -> Path:
    """A TIFF of any size, filled with one generated field after the other."""
    options = SmearOptions(
        slides=1,
        fields_per_slide=1,
        width_px=1000,
        height_px=1000,
        px_per_um=5.0,
        cells_per_field={"normal_rbc": 260, "lymphocyte": 2, "platelet": 10},
    )
    rgb = simulate_field(options, 1, 1, 0).rgb
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = tifffile.memmap(path, shape=(side, side, 3), dtype=np.uint8, photometric="rgb", bigtiff=True)
    for top in range(0, side, 1000):
        for left in range(0, side, 1000):
            canvas[top : top + 1000, left : left + 1000] = rgb[: side - top, : side - left]
    canvas.flush()
    return path


def _options(image: Path, **settings: object) -> SmearInput:
    return SmearInput.model_validate(
        {"name": "bench", "path": str(image), "cell_px": 37, "write_masks": False, "resamples": 0, **settings}
    )


def _count(options: SmearInput, work: Path, on_tile: OnTile | None = None) -> Counted:
    rejects = RejectLog("bench")
    smears = open_smears([Path(str(options.path))], options.tile_px, options.overlap_px, work, rejects)
    parts = CountParts(segmenter(options), ByStain(options), COUNT_RULES)
    count = count_pictures(smears, options, parts, work, rejects, on_tile=on_tile)
    with masks_written(work / "masks", wanted=options.write_masks) as folder:
        if folder is not None:
            write_smears(folder, count.counts, count.cells, count.masks)
    return count


def _segmenters(work: Path) -> list[tuple[str, float, float]]:
    torch.manual_seed(0)
    network, _ = build_segmenter("resnet18", FirstWeights())
    config = {"segmenter": {"encoder": "resnet18"}}
    save_bundle(ModelBundle(network.state_dict(), config), work / "unet")
    rows = []
    for name, target in (("watershed", watershed), ("unet", unet)):
        start = time.perf_counter()
        memory = peak_memory_mb(target, 0, work)
        rows.append((name, SIDE**2 / 1e6 / (time.perf_counter() - start), memory))
    return rows


def watershed(_count_of_images: int, work: Path) -> None:
    """Job of `peak_memory_mb`."""
    _count(_options(work.parent / "smear.tif"), work)


def unet(_count_of_images: int, work: Path) -> None:
    """Job of `peak_memory_mb`."""
    _count(_options(work.parent / "smear.tif", segmenter="unet", model=str(work.parent / "unet")), work)


def whole_slide(side: int, work: Path) -> None:
    """Job of `peak_memory_mb`: masks are written, too."""
    run = _count(_options(work.parent / f"{side}.tif", write_masks=True), work)
    (work / "cells.txt").write_text(str(len(run.cells)))


def _whole_slide(side: int, work: Path) -> tuple[int, float, int, float]:
    """Side, seconds, cells and peak MB."""
    _slide(work / f"{side}.tif", side)
    start = time.perf_counter()
    memory = peak_memory_mb(whole_slide, side, work)
    cells = int((work / f"whole_slide{side}/cells.txt").read_text())
    return side, time.perf_counter() - start, cells, memory


def _on_dask(workers: int, work: Path) -> tuple[float, float]:
    """Seconds for a count of the smallest slide by so many workers, and until the last tile was segmented."""
    file = work / f"{SLIDES[0]}.tif"
    times: list[float] = []
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as cluster:
        options = _options(file, cluster=cluster.scheduler_address)
        _count(_options(work / "smear.tif", cluster=cluster.scheduler_address), work / f"warm{workers}")
        start = time.perf_counter()
        took = seconds(
            lambda: _count(options, work / f"dask{workers}", on_tile=lambda _: times.append(time.perf_counter()))
        )
    return took, times[-1] - start


def _after_sam(masks: Path, work: Path) -> tuple[float, ...]:
    """Cells, seconds, peak MB, and seconds that reading all masks takes, of one call in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("after_sam.py")), str(masks.absolute()), str(work)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(float(value) for value in process.stdout.split())


def _beside_the_published(folder: Path, work: Path) -> list[str]:
    """Filter, coloured masks, joining and count of the tiles of HS2 from the authors' own SAM masks."""
    lines = ["## Counting: what comes after SAM", ""]
    if not folder.is_dir():
        return [*lines, "Not measured: no ojaghi/ under raw_root (make bench RAW=<folder>).", ""]
    masks = folder / "Mask_sub_folders"
    tiles = {path.name: (int(path.name[4]) - 5, int(path.name[6]) - 5) for path in sorted(masks.glob("HS2_*"))}
    os.environ["OMP_NUM_THREADS"] = "1"
    published: list[int] = []
    slow = seconds(lambda: published.append(published_counting.count_tiles(masks, tiles)[0]))
    (work / "tiles").mkdir()
    for name in tiles:
        (work / "tiles" / f"{name}.png").symlink_to((folder / "grid_images" / f"{name}.png").absolute())
    (_, first, _, _), (cells, again, memory, reading) = (_after_sam(masks, work) for _ in range(2))
    rows = [
        f"as Rao et al. 2024, whole frames in memory | {slow:.2f} | {slow / len(tiles):.3f} | {published[0]:,} | 1",
        f"this project, from PNG masks | {first:.2f} | {first / len(tiles):.3f} | {cells:,.0f} | {slow / first:.1f}",
        f"this project, from run-length encoded tiles | {again:.2f} | {again / len(tiles):.3f} | {cells:,.0f} | "
        f"{slow / again:.1f}",
    ]
    return [
        *lines,
        f"{len(tiles)} tiles of HS2, the authors' SAM masks as PNG files, published filter and rule, one process: "
        "filter, coloured mask, joining, count; ours also makes the table of cells and writes labels and contours, and "
        "its time from PNG masks includes the import of libraries. The authors' own code takes 0.75 to 0.80 s per tile "
        "([facts](facts/peer.md#time-per-tile)), cutouts included. "
        "All masks are taken for red cells. Peak memory of this project, from run-length encoded tiles: "
        f"{memory:.0f} MB.",
        "",
        *table("way | seconds | seconds per tile | cells | times as fast", rows),
        *glance(
            [
                Step(
                    "after SAM, a tile, s",
                    ("reading its masks", reading / len(tiles)),
                    again / len(tiles),
                    ("as Rao et al.", slow / len(tiles)),
                    memory,
                )
            ]
        ),
    ]
