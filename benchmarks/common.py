"""What all benchmarks share: parameters, a clock, and the peak memory of a job."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil

from blood_kedro.environments import config_loader

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Step:
    """What a step takes beside the least that it must do, all measured in one run.

    Attributes:
        name: of the step, and its unit: `images/s`, or `s` where less is better.
        limit: what must be done at least, and how fast that alone is.
        ours: of this project.
        peer: a plain loop or another program that does the same, and how fast it is; None where there is none.
        peak_mb: memory; None where it was not measured.
    """

    name: str
    limit: tuple[str, float]
    ours: float
    peer: tuple[str, float] | None = None
    peak_mb: float | None = None

    def row(self) -> str:
        """As a row of `GLANCE`; a ratio of 1 is the best that can be."""
        less_is_better = self.name.endswith(", s")
        limit, speed = self.limit[1], self.ours
        ratio = limit / speed if less_is_better else speed / limit
        peer = "" if self.peer is None else f"{self.peer[0]}: {self.peer[1]:.3g}"
        peak = "" if self.peak_mb is None else f"{self.peak_mb:.0f}"
        return f"{self.name} | {self.limit[0]}: {limit:.3g} | {peer} | {speed:.3g} | {ratio:.2f} | {peak}"


GLANCE = "step | limit | peer or plain loop | ours | share of the limit's speed | peak MB"


def glance(steps: Iterable[Step]) -> list[str]:
    """The rows of a part that the page shows first, too."""
    return table(GLANCE, (step.row() for step in steps))


def glances(sections: Iterable[str]) -> list[str]:
    """All rows that parts of the page have under `GLANCE`."""
    head, rows = f"| {GLANCE} |", []
    for lines in (section.splitlines() for section in sections):
        for start in (place for place, line in enumerate(lines) if line == head):
            rows += list(takewhile(lambda line: line.startswith("|"), lines[start + 2 :]))
    return table(GLANCE, (row.removeprefix("| ").removesuffix(" |") for row in rows)) if rows else []


def parameters(env: str = "base") -> dict[str, Any]:
    """Merged parameters of an environment, with what is short for something else written out."""
    return config_loader(ROOT, env)["parameters"]


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_memory_mb(target: Callable[[int, Path], None], count: int, work: Path) -> float:
    """Peak memory of a job over `count` images in a fresh process, its workers included.

    Counts the private memory of the processes (`Anonymous`, of which what workers share with their parent may count
    twice), and not pages of files that are mapped to be read: the system takes those back when it needs them.
    """
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=(count, work / f"{target.__name__}{count}"))
    process.start()
    watched, peak = psutil.Process(process.pid), 0.0
    while process.is_alive():
        try:
            peak = max(peak, anonymous_mb([watched, *watched.children(recursive=True)]))
        except psutil.Error:
            continue  # a worker ended between listing and asking
        time.sleep(0.2)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the measured process failed with {process.exitcode}")
    return peak


def anonymous_mb(processes: Iterable[psutil.Process]) -> float:
    """Private memory of processes together, `Anonymous` of /proc; one that has ended has none."""
    return sum(_anonymous_kb(each.pid) for each in processes) / 2**10


def _anonymous_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return int(next((line for line in lines if line.startswith("Anonymous:")), "Anonymous: 0 kB").split()[1])


def table(head: str, rows: Iterable[str]) -> list[str]:
    """A table in Markdown, an empty line after it; `head` and `rows` hold their columns with ` | ` between them."""
    return [f"| {head} |", "|---" * (head.count("|") + 1) + "|", *(f"| {row} |" for row in rows), ""]
