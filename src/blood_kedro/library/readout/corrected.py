"""A read-out made anew of what a person says of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.taxonomy import NOT_NAMED, coarse
from blood_kedro.library.readout.read_out import Facts, ReadOut, summarise
from blood_kedro.library.readout.settled import SettledTables, settled

# Smear and number of a cell, to the type that a person says it is of; None for what is no cell.
Changes = Mapping[tuple[str, int], str | None]


@dataclass(frozen=True)
class CountedAgain:
    """What a read-out was made of: enough to make it anew.

    Attributes:
        counts, cells, fields: tables of the count (`counting.chain.Counted`).
        facts: see there.
    """

    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    facts: Facts

    def read_out(self, changes: Changes | None = None) -> tuple[ReadOut, SettledTables]:
        """The read-out with these corrections, and the tables that it counts on; `cells` says which were `corrected`.

        What a person names stands as it is named, with a sureness of 1; a kind in place of a type (`rbc`) says that the
        type is not known. What is no cell is left out. Which cells overlap stays as it was found.

        Raises:
            BadInputError: a correction is of a cell that is not in the table.
        """
        counts, cells, fields = self.counts, self.cells, self.fields
        if changes:
            cells = corrected_cells(cells, changes)
            counts = _moved(counts, self.cells, cells, ["smear"])
            fields = _moved(fields, self.cells, cells, ["smear", "tile"])
        tables = settled(counts, cells, fields)
        read_out = summarise(counts, cells, fields, self.facts)
        if not changes:
            return read_out, tables
        said = f"{len(changes)} {'cell was' if len(changes) == 1 else 'cells were'} looked at by a person."
        return read_out.model_copy(update={"notes": (*read_out.notes, said)}), tables


def corrected_cells(cells: pd.DataFrame, changes: Changes) -> pd.DataFrame:
    """The table of cells as a person says that it should be.

    Args:
        cells: one row per cell, with `type` and `sureness`.
        changes: see there.

    Raises:
        BadInputError: one is of a cell that is not in the table.
    """
    pairs = list(zip(cells["smear"].astype(str), cells["cell"].astype(int), strict=True))
    strangers = sorted(changes.keys() - set(pairs))
    if strangers:
        raise BadInputError(
            "corrections are of cells that are not of this read-out",
            got=", ".join(f"cell {cell} of {smear}" for smear, cell in strangers[:3]),
            expected="cells of its table",
        )
    said = [changes.get(pair, "") for pair in pairs]  # empty: nothing was said of it
    renamed = cells.assign(corrected=[bool(name) for name in said])
    named = renamed.index[renamed["corrected"]]
    names = [name for name in said if name]
    renamed.loc[named, "label"] = [coarse(name) for name in names]
    renamed.loc[named, "type"] = [NOT_NAMED if name in ("rbc", "wbc") else name for name in names]
    renamed.loc[named, "sureness"] = 1.0
    return renamed[[name is not None for name in said]].reset_index(drop=True)


def _moved(table: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A table of smears or tiles whose red cells are as many more, or fewer, as those among the cells."""
    red = [cells[cells["label"] == "rbc"] for cells in (after, before)]
    signed = [cells[keys].assign(more=sign * cells["counted"]) for cells, sign in zip(red, (1, -1), strict=True)]
    more = pd.concat(signed).groupby(keys, as_index=False)["more"].sum()
    by_row = table[keys].merge(more, how="left", on=keys)["more"].fillna(0).to_numpy()
    return table.assign(rbc=table["rbc"] + by_row.astype(np.int64))
