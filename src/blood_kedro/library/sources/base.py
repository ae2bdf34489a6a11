"""What every source adapter produces, and the list of what it could not take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from blood_kedro.library.core.reject_log import RejectLog


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
    """One image of a source with its labels; `path` is relative to the source's folder.

    `unreadable_labels` counts those that its label file holds besides, and that are rejects: an image that has none but
    these is no image without a cell.
    """

    path: Path
    labels: tuple[RawLabel, ...]
    labels_path: Path | None
    group_id: str | None = None
    official_split: str | None = None
    labelled_size_px: tuple[int, int] | None = None
    unreadable_labels: int = 0


# `train2017` is a split; `test3` may be a patient.
_YEAR = re.compile(r"(?<=[a-z])20\d\d$")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def split_of(path: Path) -> str | None:
    """The split that a path names, by a folder or by the name of a file of labels (`train.json`, `val2017/`)."""
    words = [*path.parts[:-1], path.stem.removeprefix("instances_")]
    named = (_YEAR.sub("", word.lower()) for word in words)
    return next((_SPLITS[word] for word in named if word in _SPLITS), None)


# Of sets of which nothing is known to be lost.
NO_LOSSES: Mapping[str, int] = MappingProxyType({})


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
    def known_losses(self) -> Mapping[str, int]:
        """How many pictures of the published set are rejects for a reason, because it was made so."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels and the class that each is."""
        ...

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield the images of `folder` in a fixed order; put what cannot be used into `rejects`."""
        ...
