"""Written smears as a training and a validation set for a detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Coco = dict[str, Any]


def training_and_held_out(folder: Path) -> tuple[Coco, Coco]:
    """COCO content of all slides but the last, and of the last; only classes that occur, numbered from 1."""
    coco: Coco = json.loads((folder / "annotations.json").read_text())
    present = sorted({annotation["category_id"] for annotation in coco["annotations"]})
    number_of = {old: new for new, old in enumerate(present, start=1)}
    for annotation in coco["annotations"]:
        annotation["category_id"] = number_of[annotation["category_id"]]
    categories = [{**c, "id": number_of[c["id"]]} for c in coco["categories"] if c["id"] in number_of]
    last = max(image["slide"] for image in coco["images"])
    train, held_out = (
        {**coco, "categories": categories, "images": [i for i in coco["images"] if (i["slide"] == last) is is_last]}
        for is_last in (False, True)
    )
    return train, held_out
