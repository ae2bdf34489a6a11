"""What a set of single cells holds."""

from __future__ import annotations

import pandas as pd


def cells_by_class_and_scanner(table: pd.DataFrame) -> pd.DataFrame:
    """Cells of each class and scanner (Elmanna et al. 2024, Fig. 3): `class`, `scanner`, `cells`, commonest first.

    Args:
        table: of schema `CropTable`. The class is the shape, else the class of the taxonomy, else the source's own
            word; cells of sources that name no scanner are of "no scanner named".
    """
    label = table["shape"].fillna(table["label"]).fillna(table["label_raw"])
    named = pd.DataFrame({"class": label, "scanner": table["scanner"].fillna("no scanner named")})
    counts = named.value_counts(["class", "scanner"], sort=False).rename("cells").reset_index()
    total = counts.groupby("class")["cells"].transform("sum")
    order = counts.assign(total=total).sort_values(["total", "class", "scanner"], ascending=[False, True, True])
    return order.drop(columns="total").reset_index(drop=True)
