"""`blood_kedro.load`: models that come with the project, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.weights import read_arrays
from blood_kedro.library.shipped.bundle import load_shipped

_NAMES = ("cells", "scale", "white_cells", "red_cell_shapes")


def load(name: str, folder: Path | None = None) -> Any:  # noqa: ANN401 - each model has its own class
    """A model that comes with the project, ready to predict.

    `cells` finds red cells, white cells and platelets (`predict(rgb)`); `scale` says how wide a red cell is;
    `white_cells` and `red_cell_shapes` name cells in boxes (`predict(rgb, boxes, cell_px)`).

    Args:
        name: of the model.
        folder: where models are, if not in the package.

    Raises:
        ConfigurationError: there is no such model.
        DataContractError, UnsafeFileError: its files are incomplete, or not those that were shipped.
    """
    if name not in _NAMES:
        raise ConfigurationError(
            "there is no shipped model of that name", where="blood_kedro.load", got=name, expected=", ".join(_NAMES)
        )
    return _of_package(name) if folder is None else _read(name, folder)


@cache
def _of_package(name: str) -> Any:  # noqa: ANN401 - as of `load`
    """Read and checked once in a process: models are never changed, and every picture asks for them."""
    return _read(name, None)


def _read(name: str, folder: Path | None) -> Any:  # noqa: ANN401 - as of `load`
    from blood_kedro.library.shipped.cells import CellDetector, ScaleModel
    from blood_kedro.library.shipped.classifiers import classifier_of

    if name == "scale":
        return ScaleModel(load("cells", folder))
    bundle = load_shipped(name, folder, read_arrays)
    return CellDetector(bundle) if name == "cells" else classifier_of(bundle)
