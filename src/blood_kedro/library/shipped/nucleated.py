"""Cells that were called red and are stained as nuclei are: dark lymphocytes, no larger than a red cell.

Red cells take up eosin, which lets red light through; nuclei take up azure, which does not, and absorb less blue light
than red. A detector that has not seen a laboratory calls its darkest lymphocytes red; their colour does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes, area
from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.augment import absorbance
from blood_kedro.library.shipped.cell_options import CLASSES

_RED, _WHITE = CLASSES.index("rbc") + 1, CLASSES.index("wbc") + 1
# So many sure red cells say what a picture's red cells look like.
_ENOUGH, _SURE = 3, 0.4
# Absorbance of red light: so many times that of the picture's red cells, at least so much, and so many times that of
# blue light. Shadows and pointers absorb all light alike.
_TIMES, _LEAST, _OVER_BLUE = 2.5, 0.25, 1.5
# Of a smaller part of a cell, at a border, the rim alone shows, which is dark for another reason.
_SIZE = 0.6
_GROUND, _SAMPLED_PX = 0.1, 512


def with_nucleated(detections: Detections, rgb: RgbImage) -> Detections:
    """Detections in which red cells that are stained as nuclei are white cells; all else as it was.

    Args:
        detections: labels from 1.
        rgb: the picture `(H, W, 3) uint8` that they are of; of a large one only the cells are read.
    """
    red = detections.labels == _RED
    sure = red & (detections.scores > _SURE)
    if sure.sum() < _ENOUGH:
        return detections
    ground = _ground(rgb)
    stained = np.zeros((len(red), 3))
    stained[red] = [_absorbed(rgb, box) - ground for box in detections.boxes[red]]
    size = np.sqrt(area(detections.boxes))
    usual, width = np.median(stained[sure, 0]), np.median(size[sure])
    nucleus = (
        red
        & (stained[:, 0] > max(_TIMES * usual, _LEAST))
        & (stained[:, 0] > _OVER_BLUE * stained[:, 2])
        & (size > _SIZE * width)
    )
    return Detections(detections.boxes, np.where(nucleus, _WHITE, detections.labels), detections.scores)


def _ground(rgb: RgbImage) -> npt.NDArray[np.float64]:
    """Absorbance of R, G and B where a picture absorbs least."""
    step = max(1, max(rgb.shape[:2]) // _SAMPLED_PX)
    few = absorbance(np.ascontiguousarray(rgb[::step, ::step]))
    return np.asarray(np.quantile(few.reshape(-1, 3), _GROUND, axis=0), np.float64)


def _absorbed(rgb: RgbImage, box: Boxes) -> npt.NDArray[np.float64]:
    """Median absorbance of R, G and B in the inner half of a box, px of the picture."""
    x0, y0, x1, y1 = box
    reach_x, reach_y = (x1 - x0) / 4, (y1 - y0) / 4
    left, right = int((x0 + x1) / 2 - reach_x), int((x0 + x1) / 2 + reach_x) + 1
    top, bottom = int((y0 + y1) / 2 - reach_y), int((y0 + y1) / 2 + reach_y) + 1
    inner = np.ascontiguousarray(rgb[max(0, top) : bottom, max(0, left) : right])
    values = inner.reshape(-1, 3)
    middle = [(len(values) - 1) // 2, len(values) // 2]
    # Less light is more absorbance: the median byte has the median absorbance, and few of them are looked up.
    return np.asarray(absorbance(np.partition(values, middle, axis=0)[None, middle])[0].mean(axis=0), np.float64)
