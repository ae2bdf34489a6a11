"""Pascal VOC label files, and any set of images that has one for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import read_regular
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, RawLabel, split_of
from blood_kedro.library.sources.known_format import KnownFormat
from blood_kedro.library.sources.label_files import read_labels
from blood_kedro.library.sources.listing import files_below
from blood_kedro.library.sources.pairs import Listed, pairs_near
from blood_kedro.library.sources.values import checked_box, numbers


@dataclass(frozen=True)
class VocFile:
    """Objects of one file, boxes half-open in px, and what the file says of its image (None where it does not).

    `unreadable` objects are rejects; `image_name` is without folders.
    """

    labels: tuple[RawLabel, ...]
    unreadable: int
    size_px: tuple[int, int] | None
    image_name: str | None


def read_voc(path: Path, shown_as: Path, rejects: RejectLog) -> VocFile:
    """Read one VOC file.

    VOC coordinates are 1-based and inclusive, so a box covers `[x_min - 1, x_max)` in half-open px: subtract
    one from the minima only. An object that cannot be read becomes a reject, the others stay.

    Raises:
        BadInputError: the file cannot be read, or is not XML (or not VOC); the message is the reason.
    """
    content = read_regular(path)  # XML says itself which encoding it is in
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:  # LookupError: unknown encoding
        raise BadInputError(f"malformed XML: {error}") from error
    if root.tag != "annotation":
        raise BadInputError(f"not a VOC file: root element is {root.tag!r}, expected 'annotation'")
    labels, row = [], 0
    for row, element in enumerate(root.iter("object"), start=1):
        try:
            labels.append(_object(element, row))
        except BadInputError as error:
            rejects.add(shown_as, "annotation", "dropped", error.what, row)
    size = _size(root)
    if size is None:
        rejects.add(shown_as, "label_file", "noted", "no usable <size>: the image's own size is taken")
    named = PurePosixPath((root.findtext("filename") or "").strip().replace("\\", "/")).name or None
    return VocFile(tuple(labels), row - len(labels), size, named)


def _object(element: Element, row: int) -> RawLabel:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise BadInputError("object without a name")
    values = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{tag}")
        value = numbers([text])
        if value is None:
            raise BadInputError(f"box is not a number: {tag} is {str(text)[:40]!r}")
        values += value
    x_min, y_min, x_max, y_max = values
    checked_box(x_min, y_min, x_max, y_max)  # as the file has it: whoever drew a line did not mean one pixel
    return RawLabel(name, row, checked_box(x_min - 1, y_min - 1, x_max, y_max))


def _size(root: Element) -> tuple[int, int] | None:
    size = numbers([root.findtext(f"size/{tag}") for tag in ("width", "height")])
    return None if size is None or min(size) < 1 else (int(size[0]), int(size[1]))


class VocFolder(KnownFormat):
    """Layout: images and `.xml` files anywhere below the folder, of the same name without suffix.

    The two lie in one folder, or in folders beside each other; of any other two folders, only where no other image and
    no other label file has that name (`pairs.pairs_near`). A file without an object says that its image has no cell.
    """

    how_to_get = "put its images and VOC files (.xml) there"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image that has a readable VOC file, in order of path."""
        image_root, label_root = (folder / (path or "") for path in (self.options.images, self.options.annotations))
        images = Listed(files_below(image_root, folder, SUFFIXES, rejects), image_root)
        files = Listed(files_below(label_root, folder, {".xml"}, rejects), label_root)
        if not images.files:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(folder), remedy=self.how_to_get)
        for image, path in pairs_near(images, files, folder, rejects):
            picture = read_voc_of(image, path, folder, rejects)
            if picture is not None:
                yield replace(picture, official_split=split_of(picture.path))


def read_voc_of(image: Path, path: Path, folder: Path, rejects: RejectLog) -> RawImage | None:
    """An image with the labels of its VOC file; None, with rejects of both, where that cannot be read.

    A file may name another image, because one of the two was renamed: that is noted. Where the image it names is there
    under the same name but for the suffix, it is the label file of that one.
    """
    shown = path.relative_to(folder)
    voc = read_labels(image, path, folder, read_voc, rejects)
    if voc is None:
        return None
    if voc.image_name is not None and voc.image_name != image.name:
        other = image.with_name(voc.image_name)
        if other.stem == image.stem and other.is_file():
            reason = f"its label file {shown.name} is for {other.name}"
            rejects.add(image.relative_to(folder), "image", "dropped", reason, labels=len(voc.labels))
            return None
        if other.stem != image.stem:
            rejects.add(shown, "label_file", "noted", f"says that it is for {other.name}, taken for {image.name}")
    return RawImage(
        image.relative_to(folder), voc.labels, shown, labelled_size_px=voc.size_px, unreadable_labels=voc.unreadable
    )
