"""The segmenter that a configuration names, ready to be called or sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.errors import WeightsNotFoundError
from blood_kedro.library.core.records import describe_model, place, read_record
from blood_kedro.library.counting.options import Segmentation, SmearInput
from blood_kedro.library.shipped.bundle import describe_shipped

if TYPE_CHECKING:
    from blood_kedro.library.core.model_bundle import ModelBundle
    from blood_kedro.library.core.rejects import Rejects
    from blood_kedro.library.counting.kinds import Namer
    from blood_kedro.library.counting.pieces import Piece
    from blood_kedro.library.counting.run import NameTypes
    from blood_kedro.library.counting.segment import Segment


def segmenter(options: Segmentation) -> Segment:
    """What `options.segmenter` names.

    Raises:
        WeightsNotFoundError: its weights, or its masks, are not there.
    """
    from blood_kedro.library.counting.segment import Precomputed, Watershed

    if options.segmenter == "sam":
        from blood_kedro.library.counting.sam import SamSegmenter

        model = SamSegmenter(options.sam)
        return lambda _name, rgb, _rejects: model(rgb)
    if options.segmenter == "unet":
        return _Unet(_existing(options.model, "run rbc_morphology first, or choose segmenter: watershed"), options)
    if options.segmenter == "shipped":
        from blood_kedro.library.shipped.segment import ShippedSegmenter

        return ShippedSegmenter(options.cell_px)
    if options.segmenter == "precomputed":
        return Precomputed(_existing(options.masks, "correct masks, or choose segmenter: watershed"))
    return Watershed(options)


def namer(options: SmearInput, classifier: ModelBundle | None) -> Namer:
    """What tells kinds of cells apart: a trained classifier, else the shipped detector that found them, else stain."""
    from blood_kedro.library.counting.kinds import ByNetwork, BySegmenter, ByStain

    if classifier is not None:
        return ByNetwork(classifier, options)
    return BySegmenter() if options.segmenter == "shipped" else ByStain(options)


def type_namer(options: SmearInput) -> NameTypes | None:
    """What names types of white cells and shapes of red ones, where the options want them."""
    from blood_kedro.library.shipped.own import CountedTypes

    return CountedTypes() if options.name_types else None


def models_used(options: SmearInput, classifier: ModelBundle | None) -> list[str]:
    """Which models of this project count an input, a sentence or two each; a plain word where there is none."""
    used = []
    if classifier is not None:
        used.append(describe_model(str(options.classifier), classifier.record))
    if options.segmenter == "shipped":
        used.append(describe_shipped())
    if options.segmenter == "unet":
        folder = Path(str(options.model))
        used.append(describe_model(folder.name, read_record(place(folder, is_model=True))))
    return used or [
        f"No model of this project is used: segmenter {options.segmenter}, kinds told apart by their stain."
    ]


def _existing(folder: str | None, remedy: str) -> Path:
    path = Path(str(folder))
    if not path.is_dir():
        raise WeightsNotFoundError("the segmenter needs a folder", where=str(path.absolute()), remedy=remedy)
    return path


@dataclass(frozen=True)
class _Unet:
    """Loads its network where it is called: in a worker process, not before."""

    model: Path
    options: Segmentation

    @cached_property
    def _segment(self) -> Any:  # noqa: ANN401 - torch is imported lazily
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.counting.fields import FieldUnet
        from blood_kedro.library.counting.unet import UnetSegmenter
        from blood_kedro.library.morphology.networks import load_segmenter
        from blood_kedro.library.morphology.segment import predict_masks

        network = load_segmenter(load_bundle(self.model))

        def predict(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
            return predict_masks(network, crops, np.arange(len(crops)))

        if self.options.unet_view == "fields":
            return FieldUnet(predict, self.options)
        return UnetSegmenter(predict, self.options.unet_side_px, self.options)

    def __call__(self, name: str, rgb: npt.NDArray[np.uint8], rejects: Rejects) -> list[Piece]:
        """Cells of a tile."""
        found: list[Piece] = self._segment(name, rgb, rejects)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "options": self.options}
