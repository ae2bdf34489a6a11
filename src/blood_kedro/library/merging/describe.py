"""The unified corpus in the forms that others read: Table I, class counts, COCO json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from blood_kedro.library.core import coco, taxonomy
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.tables import records


def composition(index: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Table I: images and labelled cells per source, and their total."""
    labelled = labels[~labels["ignore"]]
    source = labelled["image_id"].map(dict(zip(index["image_id"], index["source"], strict=True)))
    table = (
        pd.DataFrame({"images": index.groupby("source").size(), "annotations": source.value_counts()})
        .fillna(0)
        .astype(int)
        .rename_axis("source")
        .reset_index()
    )
    total = {"source": "total", "images": int(table["images"].sum()), "annotations": int(table["annotations"].sum())}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def class_table(index: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Labelled cells per class and split."""
    labelled = labels[~labels["ignore"]]
    split = labelled["image_id"].map(dict(zip(index["image_id"], index["split"], strict=True)))
    table = pd.crosstab(labelled["label"], split).reindex(columns=["train", "val", "test"], fill_value=0)
    table.columns.name = None
    return table.assign(total=table.sum(axis=1)).sort_values("total", ascending=False).reset_index()


def to_coco(
    index: pd.DataFrame,
    labels: pd.DataFrame,
    classes: list[str],
    split: str,
    canvas_px: int,
    labelled_by: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """COCO json of one split, its images squares of `canvas_px`.

    Ignore regions are `iscrowd: 1` with the coarse class in `label`. `labelled_by` says for each source that the
    taxonomy does not know which classes it labels wherever they show; it is kept beside the usual parts.
    """
    images = index[index["split"] == split]
    category = coco.numbered_from_one(classes)
    number_of = dict(zip(images["image_id"], images["global_id"], strict=True))
    rows = labels[labels["image_id"].isin(number_of)]
    annotations = [
        coco.annotation(
            number,
            int(number_of[row["image_id"]]),
            _category(row["label"], category),
            [float(row[name]) for name in BOX_COLUMNS],
            crowd=bool(row["ignore"]),
            label=row["label"],
            annotation_id=row["annotation_id"],
        )
        for number, row in enumerate(records(rows), start=1)
    ]
    return {
        **({"labelled_by": {name: list(labelled) for name, labelled in labelled_by.items()}} if labelled_by else {}),
        "images": [
            {
                "id": int(row["global_id"]),
                **{name: row[name] for name in ("file_name", "image_id", "source")},
                "group": row["duplicate_group"],
                "width": canvas_px,
                "height": canvas_px,
            }
            for row in records(images)
        ],
        "annotations": annotations,
        "categories": coco.categories(category),
    }


def _category(label: str, category: dict[str, int]) -> int:
    """A class of its own, else the nearest above, else the first below (ignore regions may be coarser)."""
    above = taxonomy.roll_up(label, category)
    below = next((name for name in category if taxonomy.is_a(name, label)), None)
    name = above if above is not None else below
    return 0 if name is None else category[name]
