"""COCO json: how an annotation and the list of categories are written, wherever this project writes any.

Category and annotation numbers count from 1. Boxes are handed over as everywhere inside (`x_min, y_min, x_max, y_max`,
px) and written as COCO has them (`x, y, width, height`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def annotation(
    number: int,
    image: int,
    /,
    category: int,
    box: Sequence[float],
    *,
    area: float | None = None,
    crowd: bool = False,
    **extra: Any,  # noqa: ANN401 - whatever the writer knows besides
) -> dict[str, Any]:
    """One annotation.

    Args:
        number: of the annotation.
        image: number of its image.
        category: number of its class.
        box: `x_min, y_min, x_max, y_max`, px.
        area: px^2, of a mask where there is one; None is that of the box.
        crowd: whether it is a region that counts for nothing (`iscrowd`).
        extra: fields that COCO does not ask for.
    """
    x_min, y_min, x_max, y_max = box
    width, height = x_max - x_min, y_max - y_min
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x_min, y_min, width, height],
        "area": width * height if area is None else area,
        "iscrowd": int(crowd),
        **extra,
    }


def categories(numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """The list of categories from the number of each class."""
    return [{"id": number, "name": name} for name, number in numbers.items()]


def numbered_from_one(names: Sequence[str]) -> dict[str, int]:
    """A number for each class, in their order."""
    return {name: number for number, name in enumerate(names, start=1)}
