"""Chula's shapes seen as the eight of Elmanna et al. 2024, of which the six that a single cell can have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.elmanna_2024 import EIGHT_SHAPES
from blood_kedro.library.core.taxonomy import SHAPE_OF_LABEL

# Overlapping cells are no shape of one cell, and Chula does not label them.
SINGLE_SHAPES = tuple(name for name in EIGHT_SHAPES if "overlapping" not in name)
_OTHER = "other"


def shape_of(label: str) -> str:
    """The shape of Elmanna et al. 2024 that a class has, `other` where it has none."""
    return SHAPE_OF_LABEL.get(label, _OTHER)


def as_eight(logs: npt.NDArray[np.float64], classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Log-probabilities `(N, C)` of classes as those of `SINGLE_SHAPES`, `(N, 6)`."""
    columns = [[k for k, name in enumerate(classes) if shape_of(name) == shape] for shape in SINGLE_SHAPES]
    none = np.full(len(logs), -np.inf)
    return np.stack([np.logaddexp.reduce(logs[:, c], axis=1) if c else none for c in columns], axis=1)


def with_eight(table: pd.DataFrame) -> pd.DataFrame:
    """What a classifier of shapes answered, with `shape` (Elmanna et al. 2024) and its probability `shape_sureness`.

    Args:
        table: with `p_<class>` of each class, as `CellClassifier.predict` gives it.
    """
    columns = [name for name in table.columns if name.startswith("p_")]
    with np.errstate(divide="ignore"):
        logs = as_eight(np.log(table[columns].to_numpy(float)), [name.removeprefix("p_") for name in columns])
    best = logs.argmax(axis=1) if len(table) else np.zeros(0, np.int64)
    sureness = np.exp(logs.max(axis=1, initial=-np.inf))
    return table.assign(shape=np.array(SINGLE_SHAPES, object)[best], shape_sureness=sureness)
