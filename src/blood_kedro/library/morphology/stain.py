"""Stain normalisation of cells: every slide is brought to the colours of one (torchstain).

Statistics of one crop of 80 px mean little: a pale cell would be darkened until it looked like any other. So all crops
of a slide are laid side by side and normalised as one image.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import pandas as pd

logger = logging.getLogger(__name__)

Crops = npt.NDArray[np.uint8]

# As many crops make one image; a slide with more is done in several, each large enough to speak for the slide.
_MOSAIC = 400
_COLUMNS = 20


def normalise(crops: Crops, table: pd.DataFrame, method: str) -> Crops:
    """Crops `(N, S, S, 3) uint8` with the stain of the group that has most cells; `none` returns them as they are.

    A group whose stain cannot be told (too few coloured pixels) is left as it is, with a warning.
    """
    if method == "none":
        return crops
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

    normalizer = NumpyReinhardNormalizer() if method == "reinhard" else NumpyMacenkoNormalizer()
    groups = table["group_id"].to_numpy()
    reference = table["group_id"].value_counts().index[0]
    normalizer.fit(_mosaic(crops[np.flatnonzero(groups == reference)[:_MOSAIC]]))
    changed = np.array(crops)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        for part in np.array_split(rows, max(1, len(rows) // _MOSAIC)):
            try:
                result = normalizer.normalize(_mosaic(crops[part]))
            except (np.linalg.LinAlgError, ValueError, IndexError) as error:
                logger.warning("stain of %s cannot be told (%s): %d cells stay as they are", group, error, len(part))
                continue
            image = np.asarray(result[0] if isinstance(result, tuple) else result)
            changed[part] = _cells(np.clip(np.rint(image), 0, 255).astype(np.uint8), len(part), crops.shape[1])
    return changed


def _mosaic(crops: Crops) -> Crops:
    """Crops side by side; the last row is filled up with the first ones."""
    rows = -(-len(crops) // _COLUMNS)
    filled = np.resize(np.asarray(crops), (rows * _COLUMNS, *crops.shape[1:]))
    side = crops.shape[1]
    grid = filled.reshape(rows, _COLUMNS, side, side, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * side, _COLUMNS * side, 3))


def _cells(mosaic: Crops, count: int, side: int) -> Crops:
    rows = mosaic.shape[0] // side
    grid = mosaic.reshape(rows, side, _COLUMNS, side, 3).swapaxes(1, 2)
    return np.asarray(grid.reshape(-1, side, side, 3)[:count])
