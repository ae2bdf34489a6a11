"""Patches of one cell each, cut out of images to be pasted into others; stored as one compressed `.npz`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CellPatch:
    """One cell, as what it does to light.

    Attributes:
        label: its class.
        absorbance: `(h, w, 3) float32`, natural logarithm per RGB channel against the background around it; 0 outside.
        mask: `(h, w) bool`.
        cell_px: usual diameter of a red cell in its image, px: the scale.
        red_od: usual absorbance of red cells in its image, per RGB channel: the stain.
        origin: `simulated`, or the image it was cut from.
    """

    label: str
    absorbance: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    cell_px: float
    red_od: tuple[float, float, float]
    origin: str


def save_patches(patches: list[CellPatch], path: Path) -> None:
    """Write all patches to one file; absorbance is kept to 16 bits."""
    facts = [{"label": c.label, "cell_px": c.cell_px, "red_od": list(c.red_od), "origin": c.origin} for c in patches]
    arrays = {f"absorbance_{k}": c.absorbance.astype(np.float16) for k, c in enumerate(patches)}
    masks = {f"mask_{k}": c.mask for k, c in enumerate(patches)}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays, **masks)


def load_patches(path: Path) -> list[CellPatch]:
    """Read what `save_patches` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return [
            CellPatch(
                label=fact["label"],
                absorbance=stored[f"absorbance_{k}"].astype(np.float32),
                mask=stored[f"mask_{k}"],
                cell_px=fact["cell_px"],
                red_od=tuple(fact["red_od"]),
                origin=fact["origin"],
            )
            for k, fact in enumerate(json.loads(str(stored["facts"])))
        ]
