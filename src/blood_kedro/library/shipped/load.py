"""`blood_kedro.load`: models that come with the project, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.weights import read_arrays
from blood_kedro.library.shipped.bundle import load_shipped


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
    from blood_kedro.library.shipped.cells import CellDetector, ScaleModel
    from blood_kedro.library.shipped.classifiers import classifier_of

    # The class of each model, and whose weights it uses.
    classes: dict[str, tuple[Any, str]] = {
        "cells": (CellDetector, "cells"),
        "scale": (ScaleModel, "cells"),
        **{classifier: (classifier_of, classifier) for classifier in ("white_cells", "red_cell_shapes")},
    }
    if name not in classes:
        raise ConfigurationError(
            "there is no shipped model of that name", where="blood_kedro.load", got=name, expected=", ".join(classes)
        )
    model_class, weights = classes[name]
    return model_class(load_shipped(weights, folder, read_arrays))
