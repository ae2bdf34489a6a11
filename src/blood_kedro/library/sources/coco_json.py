"""What a COCO json says: its images, their labels, and what of it nobody can use."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import Repeated, read_json
from blood_kedro.library.sources.base import RawLabel
from blood_kedro.library.sources.label_files import reason_of
from blood_kedro.library.sources.values import Box, checked_box, numbers

Row = dict[str, Any]


@dataclass
class CocoJson:
    """A COCO json; `labels` and the number of `unreadable` ones by the key of their image."""

    path: Path
    images: list[Row]
    labels: dict[str, list[RawLabel]] = field(default_factory=lambda: defaultdict(list))
    unreadable: Counter[str] = field(default_factory=Counter)

    def of(self, image: Row) -> tuple[RawLabel, ...]:
        """Labels of an image."""
        return tuple(self.labels.get(key_of(image.get("id")) or "", ()))

    def several(self) -> set[str]:
        """Keys that more than one image has."""
        keys = Counter(key_of(image.get("id")) or "" for image in self.images)
        return {key for key, count in keys.items() if count > 1}


def read_coco(path: Path, folder: Path, rejects: RejectLog) -> CocoJson | None:
    """A COCO json of the source in `folder`; None, and a reject, where it is none.

    An annotation that cannot be used is a reject, with its number in the file from 1.
    """
    shown = path.relative_to(folder)
    try:
        content = _checked(read_json(path))
    except Exception as error:
        rejects.add(shown, "label_file", "dropped", f"not a COCO json: {reason_of(error)}")
        return None
    coco = CocoJson(path, content["images"])
    names = _names(content["categories"])
    image_ids = {key_of(image.get("id")) for image in coco.images}
    for row, annotation in enumerate(content["annotations"], start=1):
        key = key_of(annotation.get("image_id"))
        try:
            if key is None or key not in image_ids:
                number = annotation.get("image_id")
                raise BadInputError(f"belongs to image {str(number)[:40]}, which the json does not list")
            coco.labels[key].append(_label(annotation, names, row))
        except BadInputError as error:
            coco.unreadable[key or ""] += 1
            rejects.add(shown, "annotation", "dropped", error.what, row)
    return coco


def key_of(value: object) -> str | None:
    """An id as text, equal for 7, 7.0 and "7"; None for what is no id."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _checked(coco: Any) -> dict[str, list[Row]]:  # noqa: ANN401 - whatever a file holds
    if isinstance(coco, Repeated):
        raise BadInputError("a part stands there twice")
    for part in ("images", "annotations", "categories"):
        rows = coco.get(part) if isinstance(coco, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadInputError(f"{part} is no list of objects")
    checked: dict[str, list[Row]] = coco
    return checked


def _names(categories: list[Row]) -> dict[str, set[str]]:
    """All names that a category has: those of two have none that can be meant."""
    names: dict[str, set[str]] = defaultdict(set)
    for category in categories:
        key = key_of(category.get("id"))
        if key is not None:
            names[key].add(str(category.get("name")))
    return names


def _label(annotation: Row, names: dict[str, set[str]], row: int) -> RawLabel:
    if isinstance(annotation, Repeated):
        raise BadInputError("a value stands there twice")
    box = _box(annotation)
    category = key_of(annotation.get("category_id"))
    if category is None or category not in names:
        raise BadInputError(f"category {str(annotation.get('category_id'))[:40]}, which the json does not list")
    if len(names[category]) > 1:
        raise BadInputError(f"category {category[:40]} has several names: {', '.join(sorted(names[category]))[:80]}")
    crowd = annotation.get("iscrowd")
    if crowd not in {0, 1} if isinstance(crowd, int | float) else crowd is not None:
        raise BadInputError(f"iscrowd is neither 0 nor 1: {str(crowd)[:40]!r}")
    return RawLabel(next(iter(names[category])), row, box, ignore=bool(crowd))


def _box(annotation: Row) -> Box:
    """The box, or that of the polygons where an annotation has no place for one; one that is there must be good."""
    bbox = annotation.get("bbox")
    if "bbox" not in annotation and annotation.get("segmentation"):
        return _around(annotation["segmentation"])
    box = numbers(bbox) if isinstance(bbox, list) else None
    if box is None or len(box) != 4:
        raise BadInputError(f"box is not four numbers: {str(bbox)[:80]}")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise BadInputError(f"box of {width:g} x {height:g} px")
    return checked_box(x, y, x + width, y + height)


def _around(polygons: object) -> Box:
    if not isinstance(polygons, list):
        raise BadInputError("has a mask but no box: export it with boxes or polygons")
    values: list[float] = []
    for polygon in polygons:
        points = numbers(polygon) if isinstance(polygon, list) else None
        if points is None or len(points) < 6 or len(points) % 2:
            raise BadInputError(f"no box, and a polygon that is no list of points: {str(polygon)[:80]}")
        values += points
    return checked_box(min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
