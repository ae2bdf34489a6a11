"""Masks that were made before: one image file per mask beside a table, as Rao et al. 2024 store SAM's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.pieces import Piece, piece
from blood_kedro.library.imaging.read import read_grey


def read_masks(folder: Path, height_px: int, width_px: int, rejects: RejectLog) -> list[Piece]:
    """All masks of a tile, with SAM's predicted IoU as their score where the table has it.

    Layout: `<folder>/<id>.png`, each as large as the tile, and any `*.csv` with columns `id` and `predicted_iou`. Masks
    of another size, empty ones, files that are no image and rows without a file go to rejects. Boxes are taken from the
    pixels: `bbox_w` and `bbox_h` of the table are one less than width and height (docs/facts/data.md#ojaghi-tiles).

    Args:
        folder: of one tile.
        height_px: of the tile; `width_px` likewise.
        width_px: see `height_px`.
        rejects: gets what cannot be used.
    """
    scores = _scores(folder)
    pieces, seen = [], set()
    for path in sorted(folder.glob("*.png"), key=lambda p: (len(p.stem), p.stem)):
        seen.add(path.stem)
        try:
            mask = read_grey(path) > 127
        except BadInputError as error:
            rejects.add(path, "cell", "dropped", error.what)
            continue
        if mask.shape != (height_px, width_px):
            rejects.add(path, "cell", "dropped", f"mask of {mask.shape}, tile of {(height_px, width_px)}")
            continue
        cut = piece(mask, score=scores.get(path.stem, float("nan")))
        if cut is None:
            rejects.add(path, "cell", "dropped", "empty mask")
        else:
            pieces.append(cut)
    for missing in [name for name in scores if name not in seen]:
        rejects.add(folder / f"{missing}.png", "cell", "dropped", "row of the table without a mask")
    return pieces


def _scores(folder: Path) -> dict[str, float]:
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        return {}
    table = pd.read_csv(tables[0])
    if "id" not in table:
        return {}
    ids = table["id"].map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v))
    values = table["predicted_iou"] if "predicted_iou" in table else np.full(len(table), np.nan)
    return dict(zip(ids, np.asarray(values, np.float64).tolist(), strict=True))


@dataclass(frozen=True)
class Precomputed:
    """Masks that lie in `<folder>/<tile>/`: a segmenter."""

    folder: Path

    @property
    def rests_on(self) -> Path:
        """Other masks there, other results."""
        return self.folder

    def __call__(self, name: str, rgb: npt.NDArray[np.uint8], rejects: RejectLog) -> list[Piece]:
        """Masks of a tile.

        Raises:
            BadInputError: there is no folder of this tile.
        """
        folder = self.folder / name
        if not folder.is_dir():
            raise BadInputError("tile without masks", where=str(folder))
        return read_masks(folder, rgb.shape[0], rgb.shape[1], rejects)
