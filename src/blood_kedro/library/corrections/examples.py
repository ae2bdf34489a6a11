"""Corrected cells that a classifier can learn from: cut out as it sees them, with their groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.head import Features, features_of
from blood_kedro.library.corrections.journal import NAMED
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.shipped.type_cells import groups_of


def of_use(type_name: object, classes: Sequence[str]) -> bool:
    """Whether a type says something to a model of these classes: it is one of them, a kind of one, or has kinds there.

    That a cell is some red or white cell says nothing, unless that is a class.
    """
    if not isinstance(type_name, str):
        return False
    if any(taxonomy.is_a(type_name, name) for name in classes):
        return True
    return taxonomy.PARENT[type_name] is not None and any(taxonomy.is_a(name, type_name) for name in classes)


def examples_of(cells: pd.DataFrame, classes: Sequence[str], rejects: RejectLog) -> pd.DataFrame:
    """Cells whose type is of use to a model of some classes, with their group, `group_id`, which a split keeps whole.

    Pictures of one smear share a group, and such that show the same field.

    Args:
        cells: of `Corrections.cells`.
        classes: of the model.
        rejects: pictures that cannot be read any more; their cells are left out.
    """
    table = cells[cells["action"].isin(NAMED) & cells["type_after"].map(lambda each: of_use(each, classes))]
    gone = [file for file, rows in table.groupby("file", sort=False) if not _readable(Path(str(file)), rows, rejects)]
    table = table[~table["file"].isin(gone)].reset_index(drop=True)
    pictures = table.drop_duplicates("picture")
    if not len(pictures):
        return table.assign(group_id=pd.Series(dtype=object))
    names = pictures["picture"].tolist()
    smears = [each if isinstance(each, str) else None for each in pictures["smear"]]
    groups = groups_of(names, [Path(each) for each in pictures["file"]], smears)
    return table.assign(group_id=table["picture"].map(dict(zip(names, groups, strict=True))))


def example_features(table: pd.DataFrame, classifier: TypeClassifier) -> Features:
    """What the last layer of a classifier sees of each row of `examples_of`: `(N, V, F)`.

    Raises:
        BadInputError: a width of a red cell cannot be meant.
    """
    parts, places = [], []
    for (file, cell_px), rows in table.groupby(["file", "cell_px"], sort=False):
        boxes = rows[BOX_COLUMNS].to_numpy(np.float64)
        crops = classifier.crops(read_rgb(Path(str(file))), boxes, float(str(cell_px)))
        parts.append(features_of(classifier, crops))
        places.append(rows.index.to_numpy())
    return np.concatenate(parts)[np.argsort(np.concatenate(places))]


def _readable(file: Path, rows: pd.DataFrame, rejects: RejectLog) -> bool:
    try:
        read_rgb(file)
    except BadInputError as error:
        rejects.add(file.name, "image", "dropped", error.what, labels=len(rows))
        return False
    return True
