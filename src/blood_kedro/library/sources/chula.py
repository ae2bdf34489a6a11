"""Chula RBC-12: red-cell fields with a point and one of 13 class codes per labelled cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, RawLabel, files_by_stem, paired


class Chula:
    """Layout: `Dataset/<n>.jpg` and `Label/<n>.txt`, each line `x y code`."""

    name = "chula"
    labels = SOURCE_LABELS["chula"]
    licence = "MIT"
    how_to_get = (
        "git clone https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset (or Zenodo 5638201) and point "
        "raw_root's chula/ at it"
    )

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image with at least one readable point, in order of number."""
        images = files_by_stem(folder / "Dataset", SUFFIXES, folder, rejects)
        labels = files_by_stem(folder / "Label", {".txt"}, folder, rejects)
        if not images:
            raise SourceNotFoundError(
                "source chula holds no image", where=str(folder / "Dataset"), remedy=self.how_to_get
            )
        for image, label_file in paired(images, labels, folder, rejects):
            shown, labels_shown = image.relative_to(folder), label_file.relative_to(folder)
            points = tuple(_points(label_file, labels_shown, rejects))
            if not points:
                rejects.add(shown, "image", "dropped", "its label file holds no usable point")
                continue
            yield RawImage(shown, points, labels_shown)


def _points(path: Path, shown: Path, rejects: Rejects) -> Iterator[RawLabel]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _point(line, row)
        except BadInputError as error:
            rejects.add(shown, "annotation", "dropped", error.what, row)


def _point(line: str, row: int) -> RawLabel:
    fields = line.split()
    if len(fields) != 3:
        raise BadInputError(f"line has {len(fields)} fields, expected 3 (x y code): {line.strip()!r}")
    try:
        x, y = float(fields[0]), float(fields[1])
    except ValueError as error:
        raise BadInputError(f"point is not a number: {line.strip()!r}") from error
    return RawLabel(fields[2], row, (x, y, x, y))
