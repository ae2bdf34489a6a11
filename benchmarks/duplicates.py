"""How the search for duplicates grows with the number of pictures; generated thumbnails, no files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from common import Step, glance, peak_memory_mb, table

from blood_kedro.library.merging.duplicates import find_duplicates, near_hashes
from blood_kedro.library.merging.options import DuplicateOptions
from blood_kedro.library.merging.thumbnails import Thumbnail
from blood_kedro.library.merging.turned import turned_copies

SIZES = (1_000, 5_000, 20_000)
# All pairs of one light are laid over each other to find shifts: above this, that takes hours.
MOST_SHIFTED = 1_000


def report(_raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    rows, steps, per_pair = [], list[Step](), 0.0
    for count in SIZES:
        memory = peak_memory_mb(search, count, work)
        said = json.loads((work / f"search{count}/said.json").read_text())
        pairs = count * (count - 1) / 2
        if said["shifts"] is not None:
            per_pair = said["shifts"] / pairs
        limit = ("one product", said["product"])
        steps = [Step(f"turned copies among {count:,} pictures, s", limit, said["turned"], peak_mb=memory)]
        shifts = f"{said['shifts']:.0f}" if said["shifts"] is not None else f"{per_pair * pairs:,.0f} (estimated)"
        rows.append(
            f"{count:,} | {said['hashes']:.2f} | {said['turned']:.1f} | {said['product']:.1f} | "
            f"{said['product'] / said['turned']:.2f} | {shifts} | {said['pairs']} | {memory:.0f}"
        )
    head = "pictures | hashes, s | turned, s | limit of turned, s | limit / turned | shifts, s | pairs | peak MB"
    return [
        "## Duplicates",
        "",
        "Generated thumbnails of 128x96 px, all of one light (the most work for shifts; of real sets a third of the "
        "pairs are), a turned copy and a near hash for every 100. The limit of turned copies is one product of all "
        "pictures by all, 65 numbers each, for the eight orientations. Hashes grow with the pairs that agree in a "
        "piece of the hash, turned copies with the square of the pictures at 65 numbers a pair, shifts with the "
        "square at one Fourier transform a pair. `estimated`: from the time per pair in the first row.",
        "",
        *table(head, rows),
        *glance(steps),
    ]


def search(count: int, work: Path) -> None:
    """Job of `peak_memory_mb`: each search once."""
    work.mkdir(parents=True)
    thumbnails = list(_thumbnails(count))
    start = time.perf_counter()
    near = near_hashes([each.phash for each in thumbnails], 4)
    hashes = time.perf_counter() - start
    start = time.perf_counter()
    turned = list(turned_copies(thumbnails, 0.9))
    took = time.perf_counter() - start
    start = time.perf_counter()
    numbers = np.random.default_rng(0).normal(size=(count, 65)).astype(np.float32)
    for begin in range(0, count, 512):
        for _ in range(8):
            numbers[begin : begin + 512] @ numbers[begin:].T
    product = time.perf_counter() - start
    shifts = None
    if count <= MOST_SHIFTED:
        start = time.perf_counter()
        names = [str(k) for k in range(count)]
        find_duplicates(names, ["x"] * count, thumbnails, DuplicateOptions(exhaustive_limit=0))
        shifts = time.perf_counter() - start - hashes - took
    said = {"hashes": hashes, "turned": took, "product": product, "shifts": shifts, "pairs": len(near) + len(turned)}
    (work / "said.json").write_text(json.dumps(said))


def _thumbnails(count: int) -> Iterator[Thumbnail]:
    """Smooth noise with spots of the size of cells; every hundredth is the one before it, turned by half."""
    rng = np.random.default_rng(0)
    light = np.full(3, 200, np.float32)
    detail, phash = np.zeros((96, 128), np.float32), 0
    for number in range(count):
        if number % 100 == 99:
            detail, phash = np.ascontiguousarray(detail[::-1, ::-1]), phash ^ 5
        else:
            noise = rng.normal(0, 60, (96, 128)).astype(np.float32)
            detail = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), np.float32)
            phash = int(rng.integers(0, 2**63))
        yield Thumbnail(detail, light, str(number), phash)
