"""Red cells as ultralytics' YOLOv5n finds them, an optional extra for its licence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.errors import ConfigurationError, DataContractError, WeightsNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.overlap.localizer import Find, Localizer, SourceImages
from blood_kedro.library.overlap.options import CropOptions

if TYPE_CHECKING:
    from blood_kedro.library.overlap.gather import Located

logger = logging.getLogger(__name__)

_RED_CELL_NAMES = {"rbc", "rbcs", "red blood cell", "red_blood_cell", "red cell", "erythrocyte"}


class YoloOptions(CropOptions):
    """`model` is a file of weights."""

    model: str


class YoloV5n(Localizer[YoloOptions]):
    """YOLOv5n of ultralytics: `model` is a file of weights, which it unpickles; nobody knows what it learnt from."""

    Options = YoloOptions

    def locate(self, images: SourceImages, rejects: RejectLog) -> list[Located]:
        """Red cells of every image."""
        return images.found_by(_finder(self.options), rejects)


def _finder(options: YoloOptions) -> Find:
    weights = Path(options.model)
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise ConfigurationError(
            "localizer yolov5n needs ultralytics, which is not installed: its licence is AGPL-3.0",
            where=f"overlap.crops.{options.name}.localizer",
            remedy="pip install 'blood-kedro[yolo]', or choose localizer: annotations or detector",
        ) from error
    if not weights.is_file():
        raise WeightsNotFoundError(
            "no weights of YOLOv5n",
            where=str(weights.absolute()),
            expected="a file that ultralytics has trained",
            remedy="train it on boxes of red cells; the weights of COCO know none",
        )
    # Its files are pickles of whole networks; there is no other way to read them, so they must be trusted.
    logger.warning("ultralytics unpickles %s, which can run code: use files only that you trust", weights)
    try:
        model = YOLO(str(weights))
    except Exception as error:  # it raises many kinds for a file that is cut or is another one
        raise DataContractError(
            "ultralytics cannot read these weights",
            where=str(weights.absolute()),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy="train them again, or correct overlap.crops.*.model",
        ) from error
    red = [number for number, name in model.names.items() if str(name).lower() in _RED_CELL_NAMES]
    if not red:
        raise ConfigurationError(
            "these weights know no red cells",
            where=str(weights),
            got=", ".join(map(str, model.names.values())),
            expected=f"a class named one of {', '.join(sorted(_RED_CELL_NAMES))}",
        )

    def find(rgb: npt.NDArray[np.uint8]) -> Boxes:
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        result = model.predict(bgr, conf=options.score_threshold, classes=red, verbose=False)[0]
        return np.asarray(result.boxes.xyxy.cpu().numpy(), np.float64).reshape(-1, 4)

    return find
