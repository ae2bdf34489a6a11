"""`blood_kedro.load`: models that come with the project, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.shipped.bundle import load_shipped

if TYPE_CHECKING:
    from blood_kedro.library.shipped.classifiers import TypeClassifier

CLASSIFIERS = ("white_cells", "red_cell_shapes")


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
    own = [] if folder is None else [name for name in CLASSIFIERS if (folder / name / "config.json").is_file()]
    if folder is not None and not own:
        raise ConfigurationError(
            "a folder of models holds no classifier of cells",
            where=str(folder.absolute()),
            expected=" or ".join(f"{name}/config.json" for name in CLASSIFIERS),
            remedy="name the folder that a retraining wrote, or none, to use the models that come with the project",
        )
    return Classifiers(*(load(name, folder if name in own else None) for name in CLASSIFIERS))


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
    from blood_kedro.library.shipped.cells import CellDetector, Scale
    from blood_kedro.library.shipped.classifiers import classifier_of

    # The class of each model, and whose weights it uses.
    classes: dict[str, tuple[Any, str]] = {
        "cells": (CellDetector, "cells"),
        "scale": (Scale, "cells"),
        **{classifier: (classifier_of, classifier) for classifier in CLASSIFIERS},
    }
    if name not in classes:
        raise ConfigurationError(
            "there is no shipped model of that name", where="blood_kedro.load", got=name, expected=", ".join(classes)
        )
    made, weights = classes[name]
    return made(load_shipped(weights, folder))
