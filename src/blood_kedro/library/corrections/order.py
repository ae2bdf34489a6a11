"""In which order cells are best looked at: those first that a model is least sure of, of all types in turn."""

from __future__ import annotations

import numpy as np
import pandas as pd


def uncertain_first(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cells` in the order to look at them.

    How unsure a model is of a cell is the margin between its two likeliest types where all probabilities are there
    (Scheffer, Decomain and Wrobel, IDA 2001), else the probability of the likeliest one. Types take turns, so that a
    first page shows the least sure cell of every type and not one kind of cell only. Cells of which nothing is known
    come last. Ties keep their order.

    Args:
        cells: with a column `p_<class>` for each class, or with `label`, `type` and `sureness`.
    """
    columns = [name for name in cells.columns if name.startswith("p_")]
    if columns:
        probabilities = cells[columns].to_numpy(np.float64)
        second, first = np.sort(probabilities, axis=1)[:, -2:].T if len(columns) > 1 else (0.0, probabilities[:, 0])
        unsure, kind = pd.Series(first - second), pd.Series(probabilities.argmax(axis=1))
    else:
        unsure = cells["sureness"].reset_index(drop=True)
        kind = (cells["label"] + "/" + cells["type"]).reset_index(drop=True)
    order = unsure.sort_values(kind="stable", na_position="last")
    turn = kind.loc[order.index].groupby(kind, sort=False).cumcount()
    by = pd.DataFrame({"unknown": order.isna(), "turn": turn, "unsure": order})
    return cells.iloc[by.sort_values(["unknown", "turn", "unsure"], kind="stable").index]
