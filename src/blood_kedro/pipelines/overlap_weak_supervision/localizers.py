"""Who says where the red cells of an image are: the source, a detector of this project, or YOLOv5n."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.errors import BadInputError, ConfigurationError, DataContractError, WeightsNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import load_config
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.overlap.gather import Located, annotated, located
from blood_kedro.library.overlap.options import CropOptions

logger = logging.getLogger(__name__)

# Boxes of red cells in an image `(H, W, 3) uint8`, px.
Find = Callable[[npt.NDArray[np.uint8]], Boxes]
_RED_CELL_NAMES = {"rbc", "rbcs", "red blood cell", "red_blood_cell", "red cell", "erythrocyte"}


def locate(
    folder: Path,
    index: pd.DataFrame,
    annotations: pd.DataFrame,
    groups: Groups,
    options: CropOptions,
    rejects: RejectLog,
) -> list[Located]:
    """Red cells of every image of a source.

    Raises:
        WeightsNotFoundError: the model of the localizer is not there.
        ConfigurationError: it knows no red cells, or ultralytics is not installed.
    """
    if options.localizer == "annotations":
        return annotated(index, annotations, groups, options.cell_px)
    find = (_detector if options.localizer == "detector" else _yolov5n)(Path(str(options.model)), options)
    found = []
    for image in records(index):
        try:
            boxes = find(read_rgb(folder / image["path"]))
        except BadInputError as error:
            rejects.add(image["path"], "image", "dropped", error.what)
            continue
        found.append(located(image, boxes, groups))
    return found


def groups_learnt_from(groups: Groups, options: CropOptions) -> frozenset[str]:
    """Groups of images that the localizer was trained on; nobody knows those of YOLOv5n's weights.

    Raises:
        ConfigurationError: the detector does not say.
    """
    if options.localizer != "detector":
        return frozenset()
    return groups.learnt(load_config(Path(str(options.model))))


def _detector(model: Path, options: CropOptions) -> Find:
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
        return cells.boxes[red[cells.labels - 1] & (cells.scores >= options.score_threshold)]

    return find


def _yolov5n(weights: Path, options: CropOptions) -> Find:
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
