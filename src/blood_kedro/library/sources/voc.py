"""Pascal VOC label files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.sources.base import RawLabel


@dataclass(frozen=True)
class VocFile:
    """Objects of one file, boxes half-open in px, and the image size the file claims (None if absent)."""

    labels: tuple[RawLabel, ...]
    size_px: tuple[int, int] | None


def read_voc(path: Path, shown_as: Path, rejects: Rejects) -> VocFile:
    """Read one VOC file.

    VOC coordinates are 1-based and inclusive, so a box covers `[x_min - 1, x_max)` in half-open px: subtract
    one from the minima only. An object that cannot be read becomes a reject, the others stay.

    Raises:
        BadInputError: the file is not XML (or not VOC); the message is the reason.
    """
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, UnicodeDecodeError, ValueError) as error:
        raise BadInputError(f"malformed XML: {error}") from error
    if root is None or root.tag != "annotation":
        raise BadInputError(f"not a VOC file: root element is {getattr(root, 'tag', None)!r}, expected 'annotation'")
    labels = []
    for row, element in enumerate(root.iter("object"), start=1):
        try:
            labels.append(_object(element, row))
        except BadInputError as error:
            rejects.add(shown_as, "annotation", "dropped", error.what, row)
    size = _size(root)
    if size is None:
        rejects.add(shown_as, "label_file", "noted", "no usable <size>: the image's own size is taken")
    return VocFile(tuple(labels), size)


def _object(element: Element, row: int) -> RawLabel:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise BadInputError("object without a name")
    values = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{tag}")
        try:
            value = float(text if text is not None else "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadInputError(f"box is not a number: {tag} is {text!r}")
        values.append(value)
    x_min, y_min, x_max, y_max = values
    if x_max < x_min or y_max < y_min:
        raise BadInputError(f"inverted box ({x_min:g}, {y_min:g}, {x_max:g}, {y_max:g})")
    if x_max == x_min or y_max == y_min:
        raise BadInputError(f"zero-area box at ({x_min:g}, {y_min:g})")
    return RawLabel(name, row, (x_min - 1, y_min - 1, x_max, y_max))


def _size(root: Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(root.findtext(f"size/{tag}") or "")) for tag in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
