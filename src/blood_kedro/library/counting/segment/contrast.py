"""Light and contrast of a tile before it is segmented."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]


def brightened(rgb: RgbImage, least: float) -> tuple[RgbImage, float]:
    """A tile whose mean grey level is below `least`, raised to it; and by how many levels (Rao et al. 2024, 4.3).

    The level is added to the value channel and cut at 255, as the authors' code does (docs/facts/peer.md#brightness).
    """
    mean = float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).mean())
    if mean >= least:
        return rgb, 0.0
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2].astype(np.float32) + (least - mean), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8), least - mean


def equalised(rgb: RgbImage) -> RgbImage:
    """Lightness equalised in tiles with a limit on contrast (CLAHE), colours kept."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
