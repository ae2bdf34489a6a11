"""Red cells as a detector of this project finds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import load_config
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.overlap.localizer import Find, Localizer, SourceImages
from blood_kedro.library.overlap.options import CropOptions

if TYPE_CHECKING:
    from blood_kedro.library.overlap.gather import Located


class DetectorOptions(CropOptions):
    """`model` is the folder of a trained regimen."""

    model: str


class TrainedDetector(Localizer[DetectorOptions]):
    """A detector of this project: `model` is its folder; cells below `score_threshold` are left out."""

    Options = DetectorOptions

    def locate(self, images: SourceImages, rejects: RejectLog) -> list[Located]:
        """Red cells of every image."""
        return images.found_by(_finder(Path(self.options.model), self.options.score_threshold), rejects)

    def learnt_from(self, groups: Groups) -> frozenset[str]:
        """Groups of images that it was trained on.

        Raises:
            ConfigurationError: the detector does not say.
        """
        return groups.learnt(load_config(Path(self.options.model)))


def _finder(model: Path, score_threshold: float) -> Find:
    from blood_kedro.library.core.model_bundle import load_bundle
    from blood_kedro.library.detection.predict import load_detector
    from blood_kedro.library.detection.tiled import detect_tiled
    from blood_kedro.library.detection.transforms import preprocessing

    if not model.is_dir():
        raise WeightsNotFoundError(
            "no detector to find red cells with",
            where=str(model.absolute()),
            remedy="run detection_training first and point overlap.crops.*.model at data/06_models/<regimen>",
        )
    bundle = load_bundle(model)
    network, classes = load_detector(bundle), bundle.config["classes"]
    prepare = preprocessing(bundle.config["regimen"]["augmentation"])
    red = np.array([coarse(name) == "rbc" for name in classes])
    if not red.any():
        raise ConfigurationError("this detector knows no red cells", where=str(model), got=", ".join(classes))

    def find(rgb: npt.NDArray[np.uint8]) -> Boxes:
        side = max(rgb.shape[:2])
        cells = detect_tiled(network, rgb, prepare, tile_px=side, overlap_px=max(side // 4, 1))
        return cells.boxes[red[cells.labels - 1] & (cells.scores >= score_threshold)]

    return find
