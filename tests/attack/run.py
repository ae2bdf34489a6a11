"""Many mutants, spread over all readers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from tests.attack.harness import Tried, attempt
from tests.attack.readers import TARGETS


def run(mutants: int, seed: int, folder: Path, targets: Sequence[str] | None = None) -> list[Tried]:
    """`mutants` spoiled inputs; the same ones for the same seed.

    Args:
        mutants: how many.
        seed: of all that is drawn.
        folder: each gets a folder in it, removed afterwards.
        targets: names of readers; None for all.
    """
    # Threads do not live on in a forked process.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    chosen = [target for target in TARGETS if targets is None or target.name in targets]
    for target in chosen:  # imports and caches are made once, not in every process
        (folder / target.name / "in").mkdir(parents=True)
        target.write(folder / target.name / "in")
        (folder / target.name / "out").mkdir()
        target.read(folder / target.name / "in", folder / target.name / "out")
    tried = []
    for number in range(mutants):
        place = folder / str(number)
        tried.append(attempt(chosen[number % len(chosen)], number, seed, place))
        shutil.rmtree(place, ignore_errors=True)
    return tried
