"""The shipped models `cells` and `scale`, as a user has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blood_kedro.library.core.errors import BadInputError, ConfigurationError, DataContractError
from blood_kedro.library.core.model_bundle import ModelBundle, built
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.cell_detector import FoundCells, detect_at
from blood_kedro.library.shipped.cell_options import CLASSES
from blood_kedro.library.shipped.networks import CellMaps, cell_maps
from blood_kedro.library.shipped.scale import FoundScale, find_scale


def maps_of(bundle: ModelBundle) -> CellMaps:
    """The network of a bundle, ready to predict.

    Raises:
        DataContractError: it is not this network's.
    """
    if tuple(bundle.config.get("classes", ())) != CLASSES:
        raise DataContractError(
            "a cell detector of other classes",
            where="model cells",
            got=str(bundle.config.get("classes")),
            expected=", ".join(CLASSES),
        )
    where = "model cells" if bundle.folder is None else str(bundle.folder.absolute())
    return cell_maps(bundle.weights, len(CLASSES), built(bundle, _channels), where)


def _channels(config: dict[str, Any]) -> int:
    """Raises what a config raises that lacks what predictions need, too."""
    least = [float(config["thresholds"][name]) for name in CLASSES]
    if not (float(config["cell_px"]) > 0 and np.isfinite(least).all()):
        raise ValueError(f"cell_px {config['cell_px']}, thresholds {least}")
    return int(config["recipe"]["channels"])


class CellDetector:
    """Finds red cells, white cells and platelets on a picture of any size.

    Args:
        bundle: the shipped model.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        self.config: Mapping[str, Any] = bundle.config
        self.maps = maps_of(bundle)

    def predict(self, rgb: RgbImage, cell_px: float | None = None, score: float | None = None) -> FoundCells:
        """Cells of a picture.

        Args:
            rgb: `(H, W, 3) uint8`; a memory map will do: a large picture is read tile by tile.
            cell_px: width of a usual red cell, px of the picture; found from the picture where it is None. Where none
                can be found (NaN), nothing is.
            score: cells that are less sure are left out; None takes the threshold of each class that counts come out
                right with (`config["thresholds"]`).

        Raises:
            BadInputError: `rgb` is no such picture.
            ConfigurationError: `cell_px` is not above 0.
        """
        _check(rgb)
        if cell_px is None:
            cell_px = self.scale(rgb).cell_px
        if np.isnan(cell_px):
            return FoundCells(np.zeros((0, 4)), [], np.zeros(0), float("nan"))
        if not 0 < cell_px < np.inf:
            raise ConfigurationError("a cell has a width", where="cell_px", got=str(cell_px), expected="above 0")
        detections = detect_at(self.maps, rgb, float(self.config["cell_px"]) / cell_px)
        least = np.array([self.config["thresholds"][name] if score is None else score for name in CLASSES])
        sure = detections.scores >= least[detections.labels - 1]
        names = [CLASSES[k - 1] for k in detections.labels[sure]]
        return FoundCells(detections.boxes[sure], names, detections.scores[sure], float(cell_px))

    def scale(self, rgb: RgbImage) -> FoundScale:
        """Width of a red cell, with a confidence.

        Raises:
            BadInputError: `rgb` is no picture `(H, W, 3) uint8`.
        """
        _check(rgb)
        return find_scale(self.maps, rgb, float(self.config["cell_px"]))


def _check(rgb: RgbImage) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise BadInputError(
            "no picture of 8-bit RGB", got=f"shape {rgb.shape}, {rgb.dtype}", expected="(height, width, 3) uint8"
        )


class ScaleModel:
    """Width of a red cell, from a picture alone: the cell detector's answers say by how much a zoom is off.

    Args:
        cells: the shipped model `cells`.
    """

    def __init__(self, cells: CellDetector) -> None:
        self._cells = cells

    def predict(self, rgb: RgbImage) -> FoundScale:
        """As `CellDetector.scale`."""
        return self._cells.scale(rgb)
