"""BCCD: fields with VOC boxes of RBC, WBC and Platelets (github.com/Shenggan/BCCD_Dataset)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.core.text_files import read_text
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import NO_LOSSES, RawImage
from blood_kedro.library.sources.listing import files_by_stem, paired
from blood_kedro.library.sources.voc import read_voc_of

_WHITE = "WBC"


@dataclass(frozen=True)
class Bccd:
    """Layout: `BCCD/{JPEGImages,Annotations,ImageSets/Main/{train,val,test}.txt}`.

    `wbc_types` is a file below the source's folder with the types of the white cells of each image (`read_types`).
    """

    wbc_types: str | None = None
    name = "bccd"
    known_losses = NO_LOSSES
    labels = SOURCE_LABELS["bccd"]
    licence = "MIT"
    how_to_get = "git clone https://github.com/Shenggan/BCCD_Dataset and point raw_root's bccd/ at it"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image that has a readable VOC file, in order of name."""
        root = folder / "BCCD" if (folder / "BCCD").is_dir() else folder
        images = files_by_stem(root / "JPEGImages", SUFFIXES, folder, rejects)
        labels = files_by_stem(root / "Annotations", {".xml"}, folder, rejects)
        if not images:
            raise SourceNotFoundError(
                "source bccd holds no image", where=str(root / "JPEGImages"), remedy=self.how_to_get
            )
        splits = _official_splits(root / "ImageSets" / "Main", folder, rejects)
        types = None if self.wbc_types is None else read_types(folder / self.wbc_types)
        for image, label_file in paired(images, labels, folder, rejects):
            picture = read_voc_of(image, label_file, folder, rejects)
            if picture is not None and types is not None:
                picture = _typed(picture, types.get(image.stem, ()), rejects)
            if picture is not None:
                yield replace(picture, official_split=splits.get(image.stem))


def _official_splits(lists: Path, folder: Path, rejects: RejectLog) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = lists / f"{split}.txt"
        if not path.exists():
            continue
        try:
            splits.update(dict.fromkeys(read_text(path).split(), split))
        except BadInputError as error:
            rejects.add(path.relative_to(folder), "label_file", "noted", f"no official split of its images: {error}")
    return splits


def read_types(path: Path) -> dict[str, tuple[str, ...]]:
    """Types of white cells by image, in capitals.

    The file is the list of the set's classification copy (github.com/dhruvp/wbc-classification, `_inputs/labels.csv`):
    columns `Image`, a number or the name of an image, and `Category`, types between commas. `image` and `types`,
    between semicolons, are read as well.

    Raises:
        SourceNotFoundError: there is no such file, or it is no such list.
    """
    remedy = "put labels.csv of github.com/dhruvp/wbc-classification there, or set sources.bccd.wbc_types=null"
    if not path.is_file():
        raise SourceNotFoundError("no list of types of white cells", where=str(path.absolute()), remedy=remedy)
    types: dict[str, tuple[str, ...]] = {}
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except (BadInputError, csv.Error) as error:
        raise SourceNotFoundError(
            f"the list of types of white cells cannot be read: {error}", where=str(path.absolute()), remedy=remedy
        ) from error
    for row in rows:
        cells = {str(name).lower(): str(value or "") for name, value in row.items()}
        category = cells.get("category", cells.get("types"))
        if "image" not in cells or category is None:
            raise SourceNotFoundError(
                "not a list of types of white cells",
                where=str(path.absolute()),
                got=", ".join(map(str, row)),
                expected="columns Image and Category",
                remedy=remedy,
            )
        name = cells["image"].strip()
        name = f"BloodImage_{name.zfill(5)}" if name.isascii() and name.isdigit() else name
        types[name] = tuple(each.strip().upper() for each in re.split("[,;]", category) if each.strip())
    return types


def _typed(image: RawImage, types: tuple[str, ...], rejects: RejectLog) -> RawImage:
    """The image with its white cells of the listed type, where there is one for each and all are alike.

    Nobody knows which of two boxes the first of two types is of: there they stay general, and rejects say so.
    """
    white = [label for label in image.labels if label.label_raw == _WHITE]
    if not white and not types:
        return image
    if len(types) != len(white) or len(set(types)) != 1:
        listed = ", ".join(types).lower() or "none"
        reason = f"white cells stay of no type: {len(white)} boxes, types listed: {listed}"
        rejects.add(image.labels_path or image.path, "annotation", "noted", reason)
        return image
    named = (replace(each, label_raw=types[0]) if each.label_raw == _WHITE else each for each in image.labels)
    return replace(image, labels=tuple(named))
