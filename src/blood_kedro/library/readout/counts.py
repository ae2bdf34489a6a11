"""How many cells of each kind: the only place where the numbers of a read-out are counted."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from blood_kedro.library.readout.intervals import Drawing, Number, Result, count_of, fields_of
from blood_kedro.library.readout.settled import SettledTables


class CellCounts(Result):
    """Cells of each kind; the interval says how many fields like these would hold."""

    rbc: Number = Field(description="red cells, by `rbc_rule`")
    rbc_rule: str = Field(description="count rule (`assembly/count_rules.py`)")
    rbc_rows: int = Field(ge=0, description="red cells in the table of cells; with the shipped detector the same")
    wbc: Number = Field(description="white cells in the table of cells, erythroblasts among them")
    platelet: Number = Field(description="platelets in the table of cells")


def cell_counts(tables: SettledTables, drawing: Drawing) -> CellCounts:
    """Cells of each kind in the tables of one smear, or of several.

    Args:
        tables: of `settled`.
        drawing: how intervals are made.
    """
    places = fields_of(tables.cells, tables.fields)
    labels = tables.cells["label"].to_numpy(object)
    red = places.sums((labels == "rbc") * tables.cells["counted"].to_numpy(np.float64))
    total = int(tables.counts["rbc"].sum())
    # Another rule counts clumps, which no field holds alone: there is its total, and no drawing of fields.
    rbc = count_of(red if red.sum() == total else np.array([float(total)]), drawing)
    wbc, platelet = (count_of(places.sums(labels == kind), drawing) for kind in ("wbc", "platelet"))
    return CellCounts(
        rbc=rbc,
        rbc_rule=", ".join(sorted(set(tables.counts["rule"].astype(str)))),
        rbc_rows=int(tables.counts["rbc_rows"].sum()),
        wbc=wbc,
        platelet=platelet,
    )
