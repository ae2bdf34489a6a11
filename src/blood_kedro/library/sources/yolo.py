"""Any set with YOLO text files of boxes or polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import read_lines
from blood_kedro.library.imaging.read import SUFFIXES, size_of
from blood_kedro.library.sources.base import RawImage, RawLabel, split_of
from blood_kedro.library.sources.class_names import FILES, class_names
from blood_kedro.library.sources.known_format import KnownFormat
from blood_kedro.library.sources.label_files import read_labels
from blood_kedro.library.sources.listing import files_below, labels_in, second_of_name, without_image
from blood_kedro.library.sources.values import checked_box, numbers

# Shares of the image may lie over its border; beyond this they are no shares but px.
_LARGEST_SHARE = 2
_MOST_FIELDS = 20_000


class YoloFolder(KnownFormat):
    """Reads images with a text file each, and the names of classes.

    Layout: `images/[<split>/]<name>.jpg` and `labels/[<split>/]<name>.txt`, or `<split>/images` and `<split>/labels`,
    or both in one folder; class names in `data.yaml` or `classes.txt`, which LabelImg puts beside the labels. `names`
    in `data.yaml` is a list or a map from number to name; a blank line of `classes.txt` keeps its number. Each line is
    `class x_centre y_centre width height` in shares of the image, or a class and a polygon. Without class names, labels
    are the numbers. An image without a text file is a reject; one whose file is empty has no cell, as YOLO means it.
    Of two images with one text file (`a.jpg`, `a.png`), the second is a reject.
    """

    how_to_get = "put its images/, labels/ and data.yaml there"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image with a text file, in order of path."""
        names = class_names(folder, self.options.annotations, rejects)
        root = folder / (self.options.images or "")
        images = files_below(root, folder, SUFFIXES, rejects)
        if not images:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(root), remedy=self.how_to_get)
        texts = files_below(folder, folder, {".txt"}, rejects)
        text_set, image_of = set(texts), dict[Path, Path]()
        for image in images:
            text = next((path for path in _twins(image, folder) if path in text_set), None)
            if text is None:
                rejects.add(image.relative_to(folder), "image", "dropped", "image without label file")
            elif text in image_of:
                second_of_name(image, image_of[text], folder, rejects)
            else:
                image_of[text] = image
                picture = _read(image, text, folder, names, rejects)
                if picture is not None:
                    yield picture
        for text in texts:
            if text not in image_of and "labels" in text.relative_to(folder).parts[:-1] and text.name not in FILES:
                without_image(text, folder, rejects)


@dataclass(frozen=True)
class _Lines:
    labels: tuple[RawLabel, ...]
    unreadable: int


def _read(image: Path, text: Path, folder: Path, names: dict[int, str] | None, rejects: RejectLog) -> RawImage | None:
    shown, labels_shown = image.relative_to(folder), text.relative_to(folder)
    try:
        size = size_of(image)
    except BadInputError as error:
        rejects.add(shown, "image", "dropped", error.what, labels=labels_in(text))
        return None
    lines = read_labels(image, text, folder, partial(_labels, size=size, names=names), rejects)
    if lines is None:
        return None
    split = split_of(shown)
    return RawImage(shown, lines.labels, labels_shown, official_split=split, unreadable_labels=lines.unreadable)


def _twins(image: Path, folder: Path) -> list[Path]:
    """Where the label file of an image may be, the likeliest first."""
    parts = list(image.relative_to(folder).parts)
    twins = [image.with_suffix(".txt")]
    if "images" in parts[:-1]:
        place = len(parts) - 2 - parts[-2::-1].index("images")
        parts[place] = "labels"
        twins.insert(0, folder.joinpath(*parts).with_suffix(".txt"))
    return twins


def _labels(path: Path, shown: Path, rejects: RejectLog, size: tuple[int, int], names: dict[int, str] | None) -> _Lines:
    labels, unreadable = [], 0
    for row, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            labels.append(_label(line.split(), row, size, names))
        except BadInputError as error:
            unreadable += 1
            rejects.add(shown, "annotation", "dropped", error.what, row)
    return _Lines(tuple(labels), unreadable)


def _label(fields: list[str], row: int, size: tuple[int, int], names: dict[int, str] | None) -> RawLabel:
    values, start = numbers(fields) if len(fields) < _MOST_FIELDS else None, " ".join(fields[:5])[:80]
    if values is None or not (len(values) == 5 or (len(values) >= 7 and len(values) % 2)):
        raise BadInputError(f"line is neither class and box nor class and polygon: {' '.join(fields[:8])[:80]!r}")
    if not values[0].is_integer() or values[0] < 0:
        raise BadInputError(f"class is no whole number: {start!r}")
    number, width, height = int(values[0]), size[0], size[1]
    if names is not None and number not in names:
        raise BadInputError(f"class {fields[0][:20]} has no name")
    if len(values) == 5:
        _, x, y, w, h = values
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        box = (min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2]))
    if box[2] <= box[0] or box[3] <= box[1]:
        raise BadInputError(f"box without area: {start!r}")
    if max(abs(v) for v in box) > _LARGEST_SHARE:
        raise BadInputError(f"box is not in shares of the image but larger, perhaps in px: {start!r}")
    label = str(number) if names is None else names[number]
    return RawLabel(label, row, checked_box(box[0] * width, box[1] * height, box[2] * width, box[3] * height))
