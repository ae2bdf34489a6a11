"""What comes after SAM, alone in its process: `python after_sam.py <masks> <work>` prints what that took.

`<work>/tiles` holds the images of the tiles. Where `<work>` has finished tiles, they are counted twice, and the second
time is told: the first one imports libraries. Nothing here imports torch, so that the memory is that of counting.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import CountParts, count_pictures
from blood_kedro.library.counting.count.rules import KDE_PEAKS
from blood_kedro.library.counting.draw.masks import masks_written, write_smears
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.journal import pieces_of, read_tile
from blood_kedro.library.counting.segment.precomputed import Precomputed


class AllRed:
    """A namer that calls every mask a red cell, as the comparison does."""

    look = None

    def name(self, pieces: Sequence[Sequence[Piece]], _seen: object) -> list[np.ndarray]:
        """The same for every smear."""
        return [np.tile([1.0, 0.0, 0.0], (len(tile), 1)) for tile in pieces]


def count(masks: Path, work: Path) -> int:
    """Red cells by the published filter and rule; finished tiles are kept in `work`."""
    options = SmearInput(
        name="bench",
        path=str(work / "tiles"),
        cell_px=37,
        resamples=0,
        segmenter="precomputed",
        masks=str(masks),
        overlap_px=0,
        filter_rule="published",
        count_rule="kde_peaks",
        workers=1,
    )
    rejects = RejectLog("bench")
    smears = open_smears([work / "tiles"], 512, 0, work, rejects)
    parts = CountParts(Precomputed(masks), AllRed(), {"kde_peaks": KDE_PEAKS})
    run = count_pictures(smears, options, parts, work / "ours", rejects)
    with masks_written(work / "ours/masks", wanted=True) as folder:
        if folder is not None:
            write_smears(folder, run.counts, run.cells, run.masks)
    return int(run.counts["rbc"].iloc[0])


def read_all(folder: Path) -> None:
    """Read the masks of all finished tiles, once."""
    for file in folder.glob("*/*.parquet"):
        pieces_of(read_tile(file.parent, file.stem))


if __name__ == "__main__":
    if (Path(sys.argv[2]) / "ours").is_dir():
        count(Path(sys.argv[1]), Path(sys.argv[2]))
    start = time.perf_counter()
    cells = count(Path(sys.argv[1]), Path(sys.argv[2]))
    took = time.perf_counter() - start
    # Of this program alone: getrusage would count what the process was before it became this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    start = time.perf_counter()
    read_all(Path(sys.argv[2]) / "ours")
    print(cells, took, int(status["VmHWM"].split()[0]) / 1024, time.perf_counter() - start)
