"""Chula RBC-12: red-cell fields with a point and one of 13 class codes per labelled cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.core.text_files import read_lines
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, RawLabel
from blood_kedro.library.sources.label_files import read_labels
from blood_kedro.library.sources.listing import files_by_stem, paired
from blood_kedro.library.sources.values import numbers

_EMPTY = "its label file holds no usable point"


class Chula:
    """Layout: `Dataset/<n>.jpg` and `Label/<n>.txt`, each line `x y code`."""

    # 738 images are published (706, and 32 of elliptocytes added in 2021), 623 label files, two of them empty.
    known_losses: ClassVar[Mapping[str, int]] = {"image without label file": 115, _EMPTY: 2}

    name = "chula"
    labels = SOURCE_LABELS["chula"]
    licence = "MIT"
    how_to_get = (
        "git clone https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset (or Zenodo 5638201) and point "
        "raw_root's chula/ at it"
    )

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image with at least one readable point, in order of number."""
        images = files_by_stem(folder / "Dataset", SUFFIXES, folder, rejects)
        labels = files_by_stem(folder / "Label", {".txt"}, folder, rejects)
        if not images:
            raise SourceNotFoundError(
                "source chula holds no image", where=str(folder / "Dataset"), remedy=self.how_to_get
            )
        for image, label_file in paired(images, labels, folder, rejects):
            shown, labels_shown = image.relative_to(folder), label_file.relative_to(folder)
            points = read_labels(image, label_file, folder, _points, rejects)
            if points == ():
                rejects.add(shown, "image", "dropped", _EMPTY)
            elif points is not None:
                yield RawImage(shown, points, labels_shown)


def _points(path: Path, shown: Path, rejects: RejectLog) -> tuple[RawLabel, ...]:
    points = []
    for row, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            points.append(_point(line, row))
        except BadInputError as error:
            rejects.add(shown, "annotation", "dropped", error.what, row)
    return tuple(points)


def _point(line: str, row: int) -> RawLabel:
    fields = line.split()
    if len(fields) != 3:
        raise BadInputError(f"line has {len(fields)} fields, expected 3 (x y code): {line.strip()[:80]!r}")
    point = numbers(fields[:2])
    if point is None:
        raise BadInputError(f"position is not a number: {line.strip()[:80]!r}")
    x, y = point
    return RawLabel(fields[2], row, (x, y, x, y))
