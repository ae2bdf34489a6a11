"""The classes of a variant: a view of what is known of each cell."""

from __future__ import annotations

import pandas as pd

from blood_kedro.library.core.elmanna_2024 import EIGHT_SHAPES, NINE_SHAPES, NINE_TO_EIGHT
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.taxonomy import CLASS_IDS

VIEWS = {"elmanna_2024": EIGHT_SHAPES, "nine": NINE_SHAPES, "taxonomy": tuple(CLASS_IDS)}


def in_view(table: pd.DataFrame, view: str, min_cells: int) -> tuple[pd.DataFrame, list[str], dict[str, int]]:
    """Cells that have a class in a view.

    Args:
        table: of schema `CropTable`.
        view: a name of `VIEWS`.
        min_cells: classes with fewer cells are left out.

    Returns:
        Rows with a class, in a new column `class` and with the row number of `table` in `row`; the names of the
        classes in the order of the view; and the cells that were left out, by class (`""`: none in this view).

    Raises:
        ConfigurationError: fewer than two classes are left.
    """
    if view == "taxonomy":
        names = table["label"]
    elif view == "elmanna_2024":
        names = table["shape"].map(lambda shape: NINE_TO_EIGHT.get(shape) if isinstance(shape, str) else None)
    else:
        names = table["shape"].where(table["shape"].isin(NINE_SHAPES))
    known = names.fillna("").astype(str)
    counts = known[known != ""].value_counts()
    classes = [name for name in VIEWS[view] if counts.get(name, 0) >= min_cells]
    if len(classes) < 2:
        raise ConfigurationError(
            f"fewer than two classes in view {view}",
            where="classifier: view",
            got=str(counts.to_dict()),
            expected=f"at least two with {min_cells} cells",
            remedy="choose another view or source",
        )
    has_class = known.isin(classes).to_numpy()
    left_out = {str(name): int(count) for name, count in known[~has_class].value_counts().items()}
    chosen = table[has_class].reset_index(drop=True)
    chosen["class"], chosen["row"] = known[has_class].to_numpy(), has_class.nonzero()[0]
    return chosen, classes, left_out
