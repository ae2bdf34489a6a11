"""Cut-out cells for copy-paste."""

from __future__ import annotations

from pathlib import Path

from blood_kedro.datasets.atomic import AtomicFileDataset
from blood_kedro.library.core.cutout import Cutout, load_cutouts, save_cutouts


class CutoutsDataset(AtomicFileDataset[list[Cutout]]):
    """Cut-out cells in one `.npz`."""

    def _read(self, path: Path) -> list[Cutout]:
        return load_cutouts(path)

    def _write(self, path: Path, data: list[Cutout]) -> None:
        save_cutouts(data, path)
