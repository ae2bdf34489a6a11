"""Corrections as COCO json, which an entry with `adapter: coco` reads as a source."""

from __future__ import annotations

import pandas as pd

from blood_kedro.library.core import coco, taxonomy
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.corrections.journal import NAMED


def coco_of(rows: pd.DataFrame, pictures: pd.DataFrame) -> dict[str, object]:
    """What stands of a journal as COCO json: cells with the class that somebody named, others as ignore regions.

    Args:
        rows: of `standing`.
        pictures: in `PictureTable`; those without a row are left out, since nobody said what they show.
    """
    numbers = taxonomy.CLASS_IDS
    shown = pictures[pictures["picture"].isin(rows["picture"])]
    images = {row.picture: number for number, row in enumerate(shown.itertuples(), start=1)}
    annotations: list[dict[str, object]] = []
    for row in rows[rows["action"] != "not_a_cell"].to_dict("records"):
        named = row["action"] in NAMED
        label = row["type_after"] if named else _known(row["type_before"]) or _known(row["label_before"]) or "rbc"
        annotations.append(
            coco.annotation(
                len(annotations) + 1,
                images[row["picture"]],
                numbers[label],
                [row[name] for name in BOX_COLUMNS],
                crowd=not named,
            )
        )
    return {
        "images": [
            {
                "id": images[row["picture"]],
                "file_name": row["file"],
                "width": int(row["width_px"]),
                "height": int(row["height_px"]),
                "original_name": row["name"],
            }
            for row in shown.to_dict("records")
        ],
        "annotations": annotations,
        "categories": coco.categories(numbers),
    }


def _known(label: object) -> str | None:
    return label if isinstance(label, str) and label in taxonomy.PARENT else None
