"""Work that is killed at a random moment: the next run ends with the same result, and leaves no litter."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from blood_kedro.datasets.table import TableDataset
from blood_kedro.library.core.files import PART
from blood_kedro.library.core.model_bundle import save_bundle
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.merging.merge import merge_sources
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions
from blood_kedro.library.standardization.standardize import Standardized, from_csv, standardize_source
from tests.attack import seeds
from tests.attack.readers import counted
from tests.fixtures.corpora import tiny_corpus, tiny_regimen

# A job reads its first folder, and leaves all that it makes in the second.
Job = Callable[[Path, Path], None]


def _standardized(source: Path, out: Path) -> Standardized:
    entry = SourceOptions.model_validate({"name": "lab", "adapter": "coco", "labels": seeds.LABELS})
    tables = ingest(adapter(entry), source, strict=False)
    options = StandardizationOptions(workers=1, target_px=256, sources={"lab": SourceBoxes(cell_px=20)})
    return standardize_source(tables.index, tables.annotations, source, out, options, seed=0, strict=False)


def standardization(source: Path, out: Path) -> None:
    """Pictures on their canvas, and their table."""
    done = _standardized(source, out / "lab")
    TableDataset(filepath=str(out / "annotations.parquet")).save(done.annotations)


def merging(source: Path, out: Path) -> None:
    """A corpus out of what was standardized before."""
    done = _standardized(source, source.parent / "standardized")
    merged = merge_sources(
        {"lab": from_csv(done.annotations)},
        {"lab": done.metadata},
        {"lab": source.parent / "standardized"},
        out / "unified",
        MergingOptions(min_class_count=0),
        0,
    )
    TableDataset(filepath=str(out / "index.parquet")).save(merged.index)


def training(source: Path, out: Path) -> None:
    """A small detector, three epochs."""
    corpus = source.parent / "corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    coco = tiny_corpus(corpus)
    trained = fit(tiny_regimen(epochs=3), coco, coco, corpus, out / "work")
    save_bundle(trained.bundle, out / "model")


def counting(source: Path, out: Path) -> None:
    """The count of pictures that are cut into tiles."""
    counted(source / "images", out)


JOBS: dict[str, Job] = {job.__name__: job for job in (standardization, merging, training, counting)}


@dataclass(frozen=True)
class Killed:
    """When a job was killed, in parts of the time it takes, and what differs afterwards; empty where nothing does."""

    job: str
    moment: float
    fault: str


def kills(job: str, times: int, seed: int, folder: Path) -> list[Killed]:
    """Kill a job `times` times, each time in a fresh folder, and run it again.

    Args:
        job: of `JOBS`.
        times: how often.
        seed: of the moments.
        folder: empty.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    source = folder / "given/in"
    source.mkdir(parents=True)
    seeds.coco(source, pictures=12)
    JOBS[job](source, folder / "warm")
    start = time.perf_counter()
    _run(job, source, folder / "whole", None)
    seconds = time.perf_counter() - start
    wanted = _digest(folder / "whole")
    rng = np.random.default_rng(seed)
    made = []
    for number in range(times):
        moment = float(rng.uniform(0, 1))
        out = folder / f"cut-{number}"
        _run(job, source, out, moment * seconds)
        _run(job, source, out, None)
        found = _digest(out)
        differ = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        litter = sorted(path.name for path in out.rglob(f"{PART}*"))
        fault = f"differ: {differ}" if differ else f"left behind: {litter}" if litter else ""
        made.append(Killed(job, moment, fault))
        shutil.rmtree(out)
    return made


def _run(job: str, source: Path, out: Path, kill_after_s: float | None) -> None:
    out.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        devnull = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(devnull, stream)
        try:
            JOBS[job](source, out)
        except BaseException:
            os._exit(1)
        os._exit(0)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if kill_after_s is None and status:
        raise AssertionError(f"{job} did not end well: status {status}")


def _digest(out: Path) -> dict[str, str]:
    """Of all results: tables by what they hold, other files by their bytes; times and journals aside."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if not path.is_file() or path.name.startswith(PART) or "work/" in name or path.suffix in {".jsonl", ".log"}:
            continue
        if path.suffix == ".parquet":
            found[name] = pd.read_parquet(path).to_json()
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
