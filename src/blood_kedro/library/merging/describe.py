"""The unified corpus in the forms that others read: Table I, class counts, COCO json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from blood_kedro.library.core import taxonomy
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
    category = {name: number for number, name in enumerate(classes, start=1)}
    number_of = dict(zip(images["image_id"], images["global_id"], strict=True))
    rows = labels[labels["image_id"].isin(number_of)]
    annotations = []
    for number, row in enumerate(records(rows), start=1):
        x, y, x_max, y_max = (float(row[name]) for name in BOX_COLUMNS)
        w, h = x_max - x, y_max - y
        annotations.append(
            {
                "id": number,
                "image_id": int(number_of[row["image_id"]]),
                "category_id": _category(row["label"], category),
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": int(row["ignore"]),
                "label": row["label"],
                "annotation_id": row["annotation_id"],
            }
        )
    return {
        **({"labelled_by": {name: list(found) for name, found in labelled_by.items()}} if labelled_by else {}),
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
        "categories": [{"id": number, "name": name} for name, number in category.items()],
    }


def _category(label: str, category: dict[str, int]) -> int:
    """A class of its own, else the nearest above, else the first below (ignore regions may be coarser)."""
    above = taxonomy.roll_up(label, category)
    below = next((name for name in category if taxonomy.is_a(name, label)), None)
    name = above if above is not None else below
    return 0 if name is None else category[name]
