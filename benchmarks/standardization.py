"""Speed and memory of standardization, next to a plain Pillow loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import Step, glance, parameters, peak_memory_mb, seconds, table
from PIL import Image

from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.library.standardization.standardize import standardize_source

TARGET_PX = 512
_PILLOW = "Pillow loop of Algorithm 1, PNG (one process)"
_BARE = "bare decode + encode, OpenCV, PNG (one process)"
_OURS = "this project, boxes: {}, {} worker{}"


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Standardization", ""]
    if (raw / "bccd").is_dir():
        lines += ["The same 600 real images (200 each of BCCD, Chula, PBC).", ""]
        ways = standardization_table(raw, work)
        lines += table("way | images/s | against the Pillow loop", (f"{n} | {r:.1f} | {x:.2f}x" for n, r, x in ways))
        rates = {name: rate for name, rate, _ in ways}
        limit, peer = ("decode and encode", rates[_BARE]), ("Pillow", rates[_PILLOW])
        lines += glance(
            Step(f"standardize, {boxes} boxes, one process, images/s", limit, rates[_OURS.format(boxes, 1, "")], peer)
            for boxes in ("paper", "fitted")
        )
    else:
        lines += ["Not measured: no real images under raw_root (make bench RAW=<folder>).", ""]
    rows = (f"{n} | {peak_memory_mb(_standardize_copies, n, work):.0f}" for n in (500, 5000))
    return lines + table("images | peak MB, all processes", rows)


def pil_loop(paths: list[Path], out: Path, suffix: str) -> None:
    """Algorithm 1 as one would write it down: one process, Pillow, its default encoder settings."""
    out.mkdir(parents=True)
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        scale = TARGET_PX / max(image.size)
        size = (int(image.width * scale), int(image.height * scale))
        canvas = Image.new("RGB", (TARGET_PX, TARGET_PX), 0)
        canvas.paste(image.resize(size), ((TARGET_PX - size[0]) // 2, (TARGET_PX - size[1]) // 2))
        canvas.save(out / f"{number}{suffix}")


def decode_and_encode(paths: list[Path]) -> None:
    """The least that must be done: decode the input, encode a canvas losslessly."""
    for path in paths:
        pixels = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR))
        canvas = np.ascontiguousarray(cv2.resize(pixels, (TARGET_PX, TARGET_PX)))
        cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def standardization_table(raw: Path, work: Path) -> list[tuple[str, float, float]]:
    """Images per second of each way to standardize the same real images."""
    tables = {name: ingest(SOURCES[name], raw / name, strict=False, limit=200) for name in ("bccd", "chula", "pbc")}
    paths = [raw / name / path for name, t in tables.items() for path in t.index["path"]]
    options = StandardizationOptions(**parameters()["standardization"])

    def ours(boxes: str, workers: int) -> Callable[[], None]:
        def run() -> None:
            chosen = options.model_copy(update={"boxes": boxes, "workers": workers})
            for name, t in tables.items():
                out = work / f"{boxes}{workers}{name}"
                standardize_source(t.index, t.annotations, raw / name, out, chosen, seed=0, strict=True)

        return run

    cores = os.cpu_count()
    ways: list[tuple[str, Callable[[], object]]] = [
        (_PILLOW, lambda: pil_loop(paths, work / "png", ".png")),
        ("Pillow loop, JPEG quality 75, lossy (one process)", lambda: pil_loop(paths, work / "jpg", ".jpg")),
        (_BARE, lambda: decode_and_encode(paths)),
        (_OURS.format("paper", 1, ""), ours("paper", 1)),
        (_OURS.format("paper", cores, "s"), ours("paper", 0)),
        (_OURS.format("fitted", 1, ""), ours("fitted", 1)),
        (_OURS.format("fitted", cores, "s"), ours("fitted", 0)),
    ]
    rates = [(name, len(paths) / seconds(action)) for name, action in ways]
    return [(name, rate, rate / rates[0][1]) for name, rate in rates]


def _standardize_copies(copies: int, work: Path) -> None:
    raw = work / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(90, 230, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(raw / "0.jpg"), cv2.GaussianBlur(pixels, (0, 0), 4))
    for n in range(1, copies):
        os.link(raw / "0.jpg", raw / f"{n}.jpg")
    names = [f"bccd/{n}" for n in range(copies)]
    index = pd.DataFrame(
        {
            "image_id": names,
            "source": "bccd",
            "path": [f"{n}.jpg" for n in range(copies)],
            "width_px": 640,
            "height_px": 480,
            "sha256": "0" * 64,
            "group_id": None,
            "official_split": None,
        }
    )
    annotations = pd.DataFrame(
        {
            "annotation_id": [f"{name}#1" for name in names],
            "image_id": names,
            "label_raw": "RBC",
            "label": "rbc",
            "x_min_px": 10.0,
            "y_min_px": 10.0,
            "x_max_px": 90.0,
            "y_max_px": 90.0,
            "box_origin": "annotated",
            "ignore": False,
        }
    )
    options = StandardizationOptions(boxes="paper", workers=0)
    standardize_source(index, annotations, raw, work / "out", options, seed=0, strict=True)
