"""`blood_kedro.load`: models that come with the project, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.weights import read_arrays
from blood_kedro.library.shipped.bundle import load_shipped

if TYPE_CHECKING:
    from blood_kedro.library.shipped.classifiers import TypeClassifier

CLASSIFIERS = ("white_cells", "red_cell_shapes")
_NAMES = ("cells", "scale", *CLASSIFIERS)


@dataclass(frozen=True)
class Classifiers:
    """What names cells: types of white cells, shapes of red ones."""

    white_cells: TypeClassifier
    red_cell_shapes: TypeClassifier


def classifiers(folder: Path | None = None) -> Classifiers:
    """The classifiers of a folder of models, such as retraining on corrections leaves; those it lacks are as shipped.

    Args:
        folder: holds `white_cells/`, `red_cell_shapes/` or both; None takes both as shipped.

    Raises:
        ConfigurationError: a folder is given that holds neither.
        DataContractError, UnsafeFileError: see `load`.
    """
    held = [] if folder is None else [name for name in CLASSIFIERS if (folder / name / "config.json").is_file()]
    if folder is not None and not held:
        raise ConfigurationError(
            "a folder of models holds no classifier of cells",
            where=str(folder.absolute()),
            expected=" or ".join(f"{name}/config.json" for name in CLASSIFIERS),
            remedy="name the folder that a retraining wrote, or none, to use the models that come with the project",
        )
    return Classifiers(*(load(name, folder if name in held else None) for name in CLASSIFIERS))


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
