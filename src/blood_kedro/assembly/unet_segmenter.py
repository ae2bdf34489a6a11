"""A U-Net of rbc_morphology as a segmenter of counting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece


@dataclass(frozen=True)
class Unet:
    """Loads its network where it is called: in a worker process, not before.

    Attributes:
        model: folder of the bundle.
        options: `unet_view` says whether it learnt single cells or fields.
    """

    model: Path
    options: SegmentationOptions

    @property
    def rests_on(self) -> Path:
        """Another model there, other results."""
        return self.model

    @cached_property
    def _segment(self) -> Any:  # noqa: ANN401 - torch is imported lazily
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.counting.segment.fields import FieldUnet
        from blood_kedro.library.counting.segment.unet import UnetSegmenter
        from blood_kedro.library.morphology.networks import load_segmenter
        from blood_kedro.library.morphology.segment import predict_masks

        network = load_segmenter(load_bundle(self.model))

        def predict(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
            return predict_masks(network, crops, np.arange(len(crops)))

        if self.options.unet_view == "fields":
            return FieldUnet(predict, self.options)
        return UnetSegmenter(predict, self.options.unet_side_px, self.options)

    def __call__(self, name: str, rgb: npt.NDArray[np.uint8], rejects: RejectLog) -> list[Piece]:
        """Cells of a tile."""
        pieces: list[Piece] = self._segment(name, rgb, rejects)
        return pieces

    def __getstate__(self) -> dict[str, Any]:
        """Without the network."""
        return {"model": self.model, "options": self.options}
