"""Measure the stain of each laboratory that the shipped models learnt from: `python scripts/measure_stains.py RAW`.

RAW is the folder of the public sets (docs/data_sources.md). It writes `library/readout/stains.json`: medians of each
laboratory, spread, and the limit that 95% of pictures pass whose laboratory is left out (all laboratories count
the same).
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.readout.stain import TABLE, StainTable, distances, measure_stain

MOST_PICTURES = 200
PASS = 0.95
# Raabin's pictures in TXL-PBC are the square ones of this side.
RAABIN_PX = 575
# Where pictures of each laboratory are, and which of them are its own.
FOLDERS: dict[str, tuple[str, Callable[[tuple[int, ...]], bool]]] = {
    "bccd": ("bccd/**/*.jpg", lambda _: True),
    "chula": ("chula/Dataset/*.jpg", lambda _: True),
    "ojaghi": ("ojaghi/grid_images/*.png", lambda _: True),
    "pbc": ("pbc/**/*.jpg", lambda _: True),
    "raabin": ("txl_pbc/images/**/*", lambda shape: shape[:2] == (RAABIN_PX, RAABIN_PX)),
}
Floats = np.ndarray


def measured(raw: Path, laboratory: str) -> Floats:
    """Numbers of up to `MOST_PICTURES` pictures of a laboratory, `(N, 6)`."""
    pattern, wanted = FOLDERS[laboratory]
    files = sorted(path for path in raw.glob(pattern) if path.is_file())
    random.Random(0).shuffle(files)  # noqa: S311 - a choice of pictures
    rows: list[Floats] = []
    for path in files:
        try:
            rgb = read_rgb(path)
        except BadInputError:
            continue
        found = measure_stain(rgb) if wanted(rgb.shape) else None
        if found is not None:
            rows.append(found.numbers)
        if len(rows) == MOST_PICTURES:
            break
    return np.array(rows)


def medians_and_spread(stains: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Medians `(L, 6)`, and spread within and between laboratories `(6,)`."""
    medians = np.array([np.median(rows, axis=0) for rows in stains.values()])
    within = np.mean([rows.var(axis=0) for rows in stains.values()], axis=0)
    return medians, np.sqrt(within + medians.var(axis=0, ddof=1))


def main(raw: Path) -> None:
    """Write the table."""
    stains = {name: measured(raw, name) for name in FOLDERS}
    unseen = {}
    for name, rows in stains.items():
        others = {key: each for key, each in stains.items() if key != name}
        unseen[name] = distances(rows, *medians_and_spread(others)).min(axis=1)
    away = np.concatenate(list(unseen.values()))
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in unseen.values()])
    order = np.argsort(away)
    limit = float(away[order][np.searchsorted(np.cumsum(weights[order]) / weights.sum(), PASS)])
    medians, spread = medians_and_spread(stains)
    table = StainTable(
        command="python scripts/measure_stains.py <folder of the public sets>",
        pictures={name: len(rows) for name, rows in stains.items()},
        medians={name: tuple(row.round(4).tolist()) for name, row in zip(stains, medians, strict=True)},
        spread=tuple(spread.round(4).tolist()),
        limit=round(limit, 3),
        passed_left_out={name: round(float((each <= limit).mean()), 3) for name, each in unseen.items()},
    )
    TABLE.write_text(json.dumps(table.model_dump(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
