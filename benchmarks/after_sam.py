"""What comes after SAM, alone in its process: `python after_sam.py <masks> <work>` prints cells, seconds, peak MB.

`<work>/tiles` holds the images of the tiles. Nothing here imports torch, so that the memory is that of counting.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.kinds import Name
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.run import count_all
from blood_kedro.library.counting.segment import Precomputed
from blood_kedro.library.counting.smear import open_smears


class AllRed:
    """A namer that calls every mask a red cell, as the comparison does."""

    def of_smear(self, _tiles: object) -> Name:
        """The same for every smear."""
        return lambda _rgb, pieces: np.tile([1.0, 0.0, 0.0], (len(pieces), 1))


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
    run = count_all(smears, options, Precomputed(masks), AllRed(), work / "ours", work / "ours/masks", rejects)
    return int(run.counts.loc[0, "rbc"])


if __name__ == "__main__":
    start = time.perf_counter()
    cells = count(Path(sys.argv[1]), Path(sys.argv[2]))
    took = time.perf_counter() - start
    # Of this program alone: getrusage would count what the process was before it became this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(cells, took, int(status["VmHWM"].split()[0]) / 1024)
