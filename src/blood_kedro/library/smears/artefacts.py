"""What is on a slide or in its picture and is no cell: stain precipitate, scale bars, arrows.

Real sets have them: green and black scale bars, a yellow arrow and a pointer in Chula
(docs/facts/data.md#chula-marks-in-the-pictures).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.smears.cell import LAYERS, PURPLE_GRANULES, CellStyle, DrawnCell

MARKS = ("scale_bar", "arrow")


def draw_precipitate(style: CellStyle, rng: np.random.Generator) -> DrawnCell:
    """A cloud of fine stain grains, 2-9 um across; not a cell, so its label is None."""
    reach = rng.uniform(1, 4.5) * style.px_per_um
    side = 2 * int(np.ceil(2.2 * reach)) + 1
    grains = np.zeros((side, side), np.float32)
    places = np.clip(rng.normal(side / 2, reach / 1.5, (int(rng.integers(4, 40)), 2)), 0, side - 1).astype(int)
    grains[places[:, 1], places[:, 0]] = rng.uniform(0.5, 1.2, len(places))
    sigma = max(rng.uniform(0.08, 0.2) * style.px_per_um, 0.5)
    dots = cv2.GaussianBlur(grains, (0, 0), sigma) * (2 * np.pi * sigma**2)
    layers = np.zeros((side, side, len(LAYERS)), np.float32)
    layers[..., PURPLE_GRANULES] = np.clip(dots, 0, 1.5)
    return DrawnCell("precipitate", None, layers, np.zeros((side, side), np.bool_))


def burn_in(
    pixels: npt.NDArray[np.uint8], mark: str, px_per_um: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a scale bar or an arrow over an image `(H, W, 3) uint8` in place; its half-open box in px."""
    height, width = pixels.shape[:2]
    before = pixels.copy()
    if mark == "scale_bar":
        length = max(round((20 if width > 45 * px_per_um else 8) * px_per_um), 12)
        colour = [(40, 230, 60), (20, 20, 20)][int(rng.integers(2))]
        x, y = max(width - length - width // 20, 0), height - height // 12
        cv2.line(pixels, (x, y), (x + length, y), colour, 1)
        for tick in (x, x + length):
            cv2.line(pixels, (tick, y - 3), (tick, y + 3), colour, 1)
        text = f"{length / px_per_um:.2f}um"
        cv2.putText(pixels, text, (x, y - 6), cv2.FONT_HERSHEY_SIMPLEX, height / 1600, colour, 1, cv2.LINE_AA)
    else:
        x, y = (int(v) for v in rng.uniform((0.15 * width, 0.15 * height), (0.85 * width, 0.85 * height)))
        tip = (x, int(y - rng.uniform(5, 8) * px_per_um))
        cv2.arrowedLine(pixels, (x, y), tip, (255, 215, 0), max(1, round(px_per_um)), tipLength=0.45)
    rows, cols = np.where((pixels != before).any(axis=2))
    return int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1
