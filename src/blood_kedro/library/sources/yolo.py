"""Any set with YOLO text files of boxes or polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.read import SUFFIXES, is_litter, size_of
from blood_kedro.library.sources.base import RawImage, RawLabel, numbers, split_of
from blood_kedro.library.sources.form import OfForm

_CLASS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")


class YoloFolder(OfForm):
    """Reads images with a text file each, and the names of classes.

    Layout: `images/[<split>/]<name>.jpg` and `labels/[<split>/]<name>.txt`, or `<split>/images` and `<split>/labels`,
    or both in one folder; class names in `data.yaml` or `classes.txt`, which LabelImg puts beside the labels. `names`
    in `data.yaml` is a list or a map from number to name; a blank line of `classes.txt` keeps its number. Each line is
    `class x_centre y_centre width height` in shares of the image, or a class and a polygon. Without class names, labels
    are the numbers. An image without a text file is a reject; one whose file is empty has no cell, as YOLO means it.
    """

    how_to_get = "put its images/, labels/ and data.yaml there"

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image with a text file, in order of path."""
        names = self._names(folder, rejects)
        root = folder / (self.options.images or "")
        images = [
            path for path in sorted(root.rglob("*"))
            if path.suffix.lower() in SUFFIXES and path.is_file() and not is_litter(path.relative_to(folder))
        ]  # fmt: skip
        if not images:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(root), remedy=self.how_to_get)
        used = set()
        for image in images:
            shown = image.relative_to(folder)
            text = _label_file(image, folder)
            if text is None:
                rejects.add(shown, "image", "dropped", "image without label file")
                continue
            used.add(text)
            try:
                width, height = size_of(image)
            except BadInputError as error:
                rejects.add(shown, "image", "dropped", error.what)
                continue
            found = tuple(_labels(text, text.relative_to(folder), (width, height), names, rejects))
            yield RawImage(shown, found, text.relative_to(folder), official_split=split_of(shown))
        for text in sorted(folder.rglob("labels/**/*.txt")):
            if text not in used and text.name not in _CLASS_FILES:
                rejects.add(text.relative_to(folder), "label_file", "dropped", "label file without image")

    def _names(self, folder: Path, rejects: Rejects) -> dict[int, str] | None:
        """Class names by number; None where the set has none."""
        wanted = (self.options.annotations,) if self.options.annotations else _CLASS_FILES
        for path in (folder / name for name in wanted):
            names = _names_in(path, folder, rejects) if path.is_file() else None
            if names is not None:
                return names
        return None if self.options.annotations else _names_beside_labels(folder, rejects)


def _names_beside_labels(folder: Path, rejects: Rejects) -> dict[int, str] | None:
    """Names of the lists deeper in a set, which must be the same: a number has one name in a set."""
    beside = [path for path in sorted(folder.rglob("classes.txt")) if path.parent != folder]
    found = [(path, names) for path in beside if (names := _names_in(path, folder, rejects)) is not None]
    for path, names in found:
        if names != found[0][1]:
            other = found[0][0].relative_to(folder).as_posix()
            reason = f"other class names than in {other}: labels are numbers; read each folder as a source of its own"
            rejects.add(path.relative_to(folder), "label_file", "noted", reason)
            return None
    return found[0][1] if found else None


def _names_in(path: Path, folder: Path, rejects: Rejects) -> dict[int, str] | None:
    try:
        return _read_names(path)
    except (BadInputError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = f"no class names in it, labels are numbers: {error}"
        rejects.add(path.relative_to(folder), "label_file", "noted", reason)
        return None


def _read_names(path: Path) -> dict[int, str]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix not in {".yaml", ".yml"}:
        lines = enumerate(line.strip() for line in text.splitlines())
        return {number: line for number, line in lines if line}
    content = yaml.safe_load(text)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if not isinstance(names, dict):
        raise BadInputError("`names` is missing")
    try:
        return {int(str(number)): str(name) for number, name in names.items()}
    except ValueError as error:
        raise BadInputError(f"a key of `names` is no number: {error}") from error


def _label_file(image: Path, folder: Path) -> Path | None:
    parts = list(image.relative_to(folder).parts)
    twins = [image.with_suffix(".txt")]
    if "images" in parts:
        place = len(parts) - 1 - parts[::-1].index("images")
        parts[place] = "labels"
        twins.insert(0, folder.joinpath(*parts).with_suffix(".txt"))
    return next((path for path in twins if path.is_file()), None)


def _labels(
    path: Path, shown: Path, size: tuple[int, int], names: dict[int, str] | None, rejects: Rejects
) -> Iterator[RawLabel]:
    for row, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield _label(line.split(), row, size, names)
        except BadInputError as error:
            rejects.add(shown, "annotation", "dropped", error.what, row)


def _label(fields: list[str], row: int, size: tuple[int, int], names: dict[int, str] | None) -> RawLabel:
    values = numbers(fields)
    if values is None or not (len(values) == 5 or (len(values) >= 7 and len(values) % 2)):
        raise BadInputError(f"line is neither class and box nor class and polygon: {' '.join(fields[:8])!r}")
    number, width, height = int(values[0]), size[0], size[1]
    if names is not None and number not in names:
        raise BadInputError(f"class {number} has no name")
    if len(values) == 5:
        _, x, y, w, h = values
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        box = (min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2]))
    if box[2] <= box[0] or box[3] <= box[1]:
        raise BadInputError(f"box without area: {' '.join(fields[:5])!r}")
    if max(abs(v) for v in box) > 2:
        raise BadInputError(f"box is not in shares of the image: {' '.join(fields[:5])!r}")
    label = str(number) if names is None else names[number]
    return RawLabel(label, row, (box[0] * width, box[1] * height, box[2] * width, box[3] * height))
