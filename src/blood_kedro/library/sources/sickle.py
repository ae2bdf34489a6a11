"""Sickle cells of patients in eastern Uganda (Tushabe et al. 2024, Kaggle florencetushabe/sickle-cell-disease-dataset).

The public set has no label files. `Positive/Labelled` holds a copy of each image of `Positive/Unlabelled` with a box drawn
around each sickle cell: the boxes are recovered from the difference. Exports of it as COCO, VOC or YOLO are read by the
adapters of these formats.
"""  # noqa: E501 - the name of the set stays in one piece

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.imaging.read import SUFFIXES, read_rgb
from blood_kedro.library.sources.base import NO_LOSSES, RawImage, RawLabel
from blood_kedro.library.sources.label_files import reason_of
from blood_kedro.library.sources.listing import files_by_stem, second_of_name

if TYPE_CHECKING:
    from blood_kedro.library.imaging.marks import Marks

MARK = "sickle_cell"


class Sickle:
    """Layout: `Positive/{Labelled,Unlabelled}/<n>.jpg`, names equal but for case and a word for the kind of copy."""

    name = "sickle"
    known_losses = NO_LOSSES
    labels = SOURCE_LABELS["sickle"]
    licence = "CC BY 4.0"
    how_to_get = (
        "download kaggle.com/datasets/florencetushabe/sickle-cell-disease-dataset with an account, and unpack it into "
        "raw_root's sickle/"
    )

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every unmarked image whose marked copy shows closed marks, in order of name."""
        root = next((path.parent for path in sorted(folder.rglob("Labelled")) if path.is_dir()), folder / "Positive")
        plain = _by_name(files_by_stem(root / "Unlabelled", SUFFIXES, folder, rejects), folder, rejects)
        marked = _by_name(files_by_stem(root / "Labelled", SUFFIXES, folder, rejects), folder, rejects)
        if not plain:
            raise SourceNotFoundError("source sickle holds no image", where=str(root), remedy=self.how_to_get)
        for name in sorted(marked.keys() - plain.keys()):
            rejects.add(marked[name].relative_to(folder), "label_file", "dropped", "marked copy without its image")
        for name, image in plain.items():
            shown = image.relative_to(folder)
            if name not in marked:
                rejects.add(shown, "image", "dropped", "image without marked copy")
                continue
            labels_shown = marked[name].relative_to(folder)
            try:
                marks = marks_of(marked[name], image)
            except Exception as error:
                rejects.add(shown, "image", "dropped", reason_of(error))
                continue
            if marks.open_marks:
                rejects.add(labels_shown, "label_file", "noted", f"{marks.open_marks} marks enclose nothing")
            if not marks.boxes:
                rejects.add(shown, "image", "dropped", "no closed mark in its marked copy")
                continue
            labels = tuple(RawLabel(MARK, row, box) for row, box in enumerate(marks.boxes, start=1))
            yield RawImage(shown, labels, labels_shown)


def marks_of(marked: Path, plain: Path) -> Marks:
    """Boxes of a marked copy, px of the image; a copy of another size but the same shape is brought to its size.

    Raises:
        BadInputError: a file cannot be read, or the two do not show the same picture.
    """
    from blood_kedro.library.imaging.marks import drawn_boxes

    image, copy = read_rgb(plain), read_rgb(marked)
    if image.shape != copy.shape and abs(image.shape[1] / image.shape[0] - copy.shape[1] / copy.shape[0]) < 0.01:
        copy = np.asarray(cv2.resize(copy, image.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return drawn_boxes(copy, image)


def _by_name(files: dict[str, Path], folder: Path, rejects: RejectLog) -> dict[str, Path]:
    """Files by what their name has besides case, separators and the words labelled and unlabelled."""
    by_name: dict[str, Path] = {}
    for stem, path in files.items():
        plain = stem.lower().replace("unlabelled", "").replace("labelled", "").replace("labeled", "").strip(" _-()")
        if plain in by_name:
            second_of_name(path, by_name[plain], folder, rejects)
        else:
            by_name[plain] = path
    return by_name
