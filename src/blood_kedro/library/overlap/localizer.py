"""What a localizer is: it says where the red cells of a source's images are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.registry import Choice
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.tables import records
from blood_kedro.library.overlap.options import CropOptions

if TYPE_CHECKING:
    from blood_kedro.library.overlap.gather import Located

CropOptionsT = TypeVar("CropOptionsT", bound=CropOptions)
# Boxes `(N, 4)` of red cells in an image `(H, W, 3) uint8`, px.
Find = Callable[[npt.NDArray[np.uint8]], Boxes]


@dataclass(frozen=True)
class SourceImages:
    """Images of a source: their folder, the index and raw annotations of ingestion, and their groups."""

    folder: Path
    index: pd.DataFrame
    annotations: pd.DataFrame
    groups: Groups

    def found_by(self, find: Find, rejects: RejectLog) -> list[Located]:
        """Red cells of every image, one after the other; images that cannot be read go to `rejects`."""
        from blood_kedro.library.imaging.read import read_rgb
        from blood_kedro.library.overlap.gather import located

        cells = []
        for image in records(self.index):
            try:
                boxes = find(read_rgb(self.folder / image["path"]))
            except BadInputError as error:
                rejects.add(image["path"], "image", "dropped", error.what)
                continue
            cells.append(located(image, boxes, self.groups))
        return cells


class Localizer(Choice[CropOptionsT]):
    """Says where the red cells of a source's images are."""

    Options: ClassVar[type[CropOptions]] = CropOptions

    @abstractmethod
    def locate(self, images: SourceImages, rejects: RejectLog) -> list[Located]:
        """Red cells of every image; what cannot be used goes to `rejects`.

        Raises:
            WeightsNotFoundError: what it finds cells with is not there.
            ConfigurationError: that knows no red cells, or a library is not installed.
        """

    def learnt_from(self, groups: Groups) -> frozenset[str]:  # noqa: ARG002 - those that learnt say so
        """Groups of images that it was trained on; none where it learnt nothing, or nobody knows from what."""
        return frozenset()
