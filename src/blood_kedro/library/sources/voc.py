"""Pascal VOC label files, and any set of images that has one for each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.read import SUFFIXES, is_litter
from blood_kedro.library.sources.base import RawImage, RawLabel, paired, split_of
from blood_kedro.library.sources.form import OfForm


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


class VocFolder(OfForm):
    """Layout: images and `.xml` files anywhere below the folder, of the same name without suffix."""

    how_to_get = "put its images and VOC files (.xml) there"

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image that has a readable VOC file, in order of name."""
        images = _named(folder, folder / (self.options.images or ""), SUFFIXES, rejects)
        files = _named(folder, folder / (self.options.annotations or ""), {".xml"}, rejects)
        if not images:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(folder), remedy=self.how_to_get)
        for image, path in paired(images, files, folder, rejects):
            found = read_voc_of(image.relative_to(folder), path, path.relative_to(folder), rejects)
            if found is not None:
                yield replace(found, official_split=split_of(found.path))


def _named(folder: Path, root: Path, suffixes: set[str], rejects: Rejects) -> dict[str, Path]:
    """Files below a folder by name without suffix; a second file of a name is a reject."""
    named: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in suffixes or not path.is_file() or is_litter(path.relative_to(folder)):
            continue
        if path.stem in named:
            reason = f"second file of the name of {named[path.stem].relative_to(folder)}"
            rejects.add(path.relative_to(folder), "image", "dropped", reason)
        else:
            named[path.stem] = path
    return named


def read_voc_of(image: Path, path: Path, shown: Path, rejects: Rejects) -> RawImage | None:
    """An image with the labels of its VOC file; None, with rejects of both, where that cannot be read."""
    try:
        voc = read_voc(path, shown, rejects)
    except BadInputError as error:
        rejects.add(shown, "label_file", "dropped", error.what)
        rejects.add(image, "image", "dropped", "its label file cannot be read")
        return None
    return RawImage(image, voc.labels, shown, labelled_size_px=voc.size_px)
