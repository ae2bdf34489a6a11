"""The tables of a count, brought to agree: every number of a read-out is counted on what this gives."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from blood_kedro.library.core.taxonomy import COARSE


@dataclass(frozen=True)
class SettledTables:
    """Tables in which white cells and platelets are as many in the counts, in the fields and among the cells.

    Attributes:
        counts: one row per smear; `rbc` by the rule that counts, `rbc_rows` the red cells among the cells.
        cells: one row per cell.
        fields: one row per tile.
        relabelled: cells that were found as white cells, and are platelets.
    """

    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    relabelled: int


def settled(counts: pd.DataFrame, cells: pd.DataFrame, fields: pd.DataFrame) -> SettledTables:
    """Tables of a count (`counting.chain.Counted`) that agree.

    The classifier of white cells sees more of a cell than the detector that found it: what it calls a platelet is
    counted as one. White cells and platelets are rows of `cells`, one each. Red cells stay as the rule counts them;
    with the shipped detector each is one row, too.

    Args:
        counts: one row per smear.
        cells: one row per cell, with `type` where types were named.
        fields: one row per tile.
    """
    wrong = cells["label"].eq("wbc") & cells.get("type", pd.Series("", cells.index)).eq("platelet")
    agreed = cells.assign(label=cells["label"].mask(wrong, "platelet"))
    by_smear = _numbers(agreed, ["smear"])
    by_tile = _numbers(agreed, ["smear", "tile"])
    at = pd.MultiIndex.from_frame(fields[["smear", "tile"]])
    rows = {f"{kind}_rows" if kind == "rbc" else kind: by_smear[kind] for kind in COARSE}
    smears = pd.Index(counts["smear"])
    return SettledTables(
        counts.assign(**{name: cells_of.reindex(smears, fill_value=0).to_numpy() for name, cells_of in rows.items()}),
        agreed,
        fields.assign(**{kind: by_tile[kind].reindex(at, fill_value=0).to_numpy() for kind in ("wbc", "platelet")}),
        int(wrong.sum()),
    )


def _numbers(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Cells of each kind, by smear or by tile."""
    kinds = pd.DataFrame({kind: cells["label"].eq(kind) for kind in COARSE})
    return kinds.groupby([cells[key] for key in keys]).sum().astype("int64")
