"""What every source adapter produces, and the list of what it could not take."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.read import is_litter


@dataclass(frozen=True)
class RawLabel:
    """One label of one image, in px of the image as viewed.

    `box_xyxy_px` is the box; a point has `x_min == x_max`; None means that the whole image has the label.
    `row` is the line or object number in the label file, from 1. `ignore`: neither object nor background.
    """

    label_raw: str
    row: int
    box_xyxy_px: tuple[float, float, float, float] | None
    rle_counts: str | None = None
    ignore: bool = False


@dataclass(frozen=True)
class RawImage:
    """One image of a source with its labels; `path` is relative to the source's folder."""

    path: Path
    labels: tuple[RawLabel, ...]
    labels_path: Path | None
    group_id: str | None = None
    official_split: str | None = None
    labelled_size_px: tuple[int, int] | None = None


def files_by_stem(folder: Path, suffixes: set[str], root: Path, rejects: Rejects) -> dict[str, Path]:
    """Files of a folder by name without suffix, numbers in numeric order; a second file of a name is a reject."""
    if not folder.is_dir():
        return {}
    files = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not is_litter(p.relative_to(folder))]
    files.sort(key=lambda p: (not p.stem.isdigit(), int(p.stem) if p.stem.isdigit() else 0, p.name))
    by_stem: dict[str, Path] = {}
    for path in files:
        if path.stem in by_stem:
            kind = "label_file" if suffixes <= {".txt", ".xml"} else "image"
            rejects.add(
                path.relative_to(root), kind, "dropped", f"second file of the name of {by_stem[path.stem].name}"
            )
        else:
            by_stem[path.stem] = path
    return by_stem


def paired(
    images: dict[str, Path], labels: dict[str, Path], root: Path, rejects: Rejects
) -> Iterator[tuple[Path, Path]]:
    """Image and label file of each name that has both; what stands alone becomes a reject.

    An image without a label file is no negative example: such Chula images show about 94 cells each.
    """
    for stem in sorted(labels.keys() - images.keys()):
        rejects.add(labels[stem].relative_to(root), "label_file", "dropped", "label file without image")
    for stem, image in images.items():
        if stem in labels:
            yield image, labels[stem]
        else:
            rejects.add(image.relative_to(root), "image", "dropped", "image without label file")


# `train2017` is a split; `test3` may be a patient.
_YEAR = re.compile(r"(?<=[a-z])20\d\d$")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def split_of(path: Path) -> str | None:
    """The split that a path names, by a folder or by the name of a file of labels (`train.json`, `val2017/`)."""
    words = [*path.parts[:-1], path.stem.removeprefix("instances_")]
    named = (_YEAR.sub("", word.lower()) for word in words)
    return next((_SPLITS[word] for word in named if word in _SPLITS), None)


def inside(folder: Path, file: Path) -> Path | None:
    """A file if it exists in the folder; None also for one that a label file's path leads out of it to."""
    return file if file.is_file() and file.resolve().is_relative_to(folder.resolve()) else None


def numbers(values: Sequence[object]) -> list[float] | None:
    """Finite numbers, or None if any value is none."""
    try:
        made = [float(str(value)) for value in values]
    except ValueError:
        return None
    return made if all(math.isfinite(value) for value in made) else None


class SourceAdapter(Protocol):
    """Reads the layout of one source."""

    @property
    def name(self) -> str:
        """Of the source: its key in the parameters and the first part of its image ids."""
        ...

    @property
    def how_to_get(self) -> str:
        """What a user does to have it, for errors."""
        ...

    @property
    def licence(self) -> str:
        """Under which its images may be used."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels and the class that each is."""
        ...

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield the images of `folder` in a fixed order; put what cannot be used into `rejects`."""
        ...
