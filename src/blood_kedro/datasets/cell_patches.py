"""Patches of cells for copy-paste."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from kedro_datasets._typing import ImagePreview

from blood_kedro.datasets.atomic import AtomicFileDataset
from blood_kedro.library.core.cell_patch import CellPatch, load_patches, save_patches


class CellPatchesDataset(AtomicFileDataset[list[CellPatch]]):
    """Patches of cells in one `.npz`."""

    def _read(self, path: Path) -> list[CellPatch]:
        return load_patches(path)

    def _write(self, path: Path, data: list[CellPatch]) -> None:
        save_patches(data, path)

    def preview(self, cells: int = 12) -> ImagePreview:
        """A few cells on light ground, for kedro-viz."""
        shown = load_patches(self._filepath)[:cells]
        side = max((max(each.absorbance.shape[:2]) for each in shown), default=1)
        canvas = np.full((side, side * max(1, len(shown)), 3), 255, np.uint8)
        for number, each in enumerate(shown):
            light = 255 * np.exp(-np.asarray(each.absorbance, np.float32))
            height, width = light.shape[:2]
            canvas[:height, number * side : number * side + width] = np.clip(light, 0, 255)[..., ::-1]
        _, data = cv2.imencode(".png", canvas)
        return ImagePreview(base64.b64encode(data.tobytes()).decode("ascii"))
