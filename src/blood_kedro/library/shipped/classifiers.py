"""A shipped classifier at work: from a picture and boxes to a type and its probabilities for each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import Boxes
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.model_bundle import ModelBundle, built, rebuilt
from blood_kedro.library.core.taxonomy import UNSURE
from blood_kedro.library.shipped.networks import TypeLogits, type_logits
from blood_kedro.library.shipped.stains import in_standard_stain
from blood_kedro.library.shipped.type_options import TypeRecipe, View
from blood_kedro.library.shipped.type_probabilities import log_probabilities, softened
from blood_kedro.library.shipped.views import cut_view
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS

RgbImage = npt.NDArray[np.uint8]
# Stain and ground are measured on so many widths of a red cell around a cell: more than any field learnt from has.
_FIELD_CELLS = 8


@dataclass(frozen=True, eq=False)
class TypeClassifier:
    """Types of cells in pictures of any magnification.

    `temperature` and `log_shares` calibrate the probabilities (`softened`); a cell whose likeliest type has
    less than `threshold` is `other`. `weights` are those of the network behind `logits`.
    """

    logits: TypeLogits
    classes: tuple[str, ...]
    view: View
    views: int
    temperature: float
    threshold: float
    log_shares: npt.NDArray[np.float64] | None
    config: dict[str, Any]
    weights: Mapping[str, Any]

    def predict(self, rgb: RgbImage, boxes: Boxes, cell_px: float) -> pd.DataFrame:
        """One row per box: `type`, `sureness` (probability of the likeliest type, 0..1), and `p_<class>` of each class.

        Args:
            rgb: `(H, W, 3) uint8`.
            boxes: `(N, 4)`, xyxy px of `rgb`, half-open.
            cell_px: width of a usual red cell in `rgb`; the shipped model `scale` finds it.

        Raises:
            BadInputError: the picture is no 8-bit RGB, boxes have another shape, or `cell_px` is no width.
        """
        _check(rgb, boxes, cell_px)
        logs = softened(self.logs(rgb, boxes, cell_px), self.temperature, self.log_shares)
        table = pd.DataFrame(np.exp(logs), columns=[f"p_{name}" for name in self.classes])
        sureness = np.exp(logs.max(axis=1, initial=-np.inf))
        named = np.array(self.classes, object)[logs.argmax(axis=1)] if len(boxes) else np.array([], object)
        table.insert(0, "sureness", sureness)
        table.insert(0, "type", np.where(sureness < self.threshold, UNSURE, named))
        return table

    def logs(self, rgb: RgbImage, boxes: Boxes, cell_px: float) -> npt.NDArray[np.float64]:
        """Log-probabilities `(N, C)` before temperature; arguments as of `predict`."""
        if not len(boxes):
            return np.zeros((0, len(self.classes)))
        return log_probabilities(self.logits, self.crops(rgb, boxes, cell_px), self.views)

    def crops(self, rgb: RgbImage, boxes: Boxes, cell_px: float) -> npt.NDArray[np.uint8]:
        """What the network sees of cells, `(N, S, S, 3)`, `S` the side of its view; arguments as of `predict`."""
        _check(rgb, boxes, cell_px)
        centres = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)], axis=1)
        side = self.view.side_px
        crops = [self._crop(rgb, centre, cell_px) for centre in centres]
        return np.stack(crops) if crops else np.zeros((0, side, side, 3), np.uint8)

    def _crop(self, rgb: RgbImage, centre: npt.NDArray[np.float64], cell_px: float) -> RgbImage:
        field, centre = _field_around(rgb, centre, cell_px)
        crop = cut_view(field, (float(centre[0]), float(centre[1])), cell_px, self.view)
        return in_standard_stain(crop, field, centre[None], cell_px, self.view.stain)


def classifier_of(bundle: ModelBundle) -> TypeClassifier:
    """The classifier of a bundle, ready to predict, its half-precision weights as float32.

    Raises:
        DataContractError: the weights do not fit, or the config lacks what predictions need.
    """
    recipe, config, shares = built(bundle, _recipe), bundle.config, bundle.config.get("log_shares")
    return TypeClassifier(
        _by_torch(bundle) if recipe.model in FOUNDATION_MODELS else _by_onnx(bundle),
        tuple(config["classes"]),
        recipe.view,
        int(config["views"]),
        float(config["temperature"]),
        float(config["threshold"]),
        None if shares is None else np.array(shares),
        config,
        bundle.weights,
    )


def _by_onnx(bundle: ModelBundle) -> TypeLogits:
    where = "a classifier of cells" if bundle.folder is None else str(bundle.folder.absolute())
    return type_logits(bundle.weights, len(bundle.config["classes"]), where)


def _by_torch(bundle: ModelBundle) -> TypeLogits:
    """Of a foundation model, which is none of ours."""
    import torch

    from blood_kedro.library.shipped.type_network import logits_by_torch, network_for

    weights = {name: torch.as_tensor(values) for name, values in bundle.weights.items()}

    def network(config: dict[str, Any]) -> torch.nn.Module:
        return network_for(_recipe(config), len(config["classes"]), weights)

    return logits_by_torch(rebuilt(ModelBundle(weights, bundle.config, folder=bundle.folder), network))


def _recipe(config: dict[str, Any]) -> TypeRecipe:
    """The recipe of a model; raises what a config raises that lacks what predictions need."""
    shares = config.get("log_shares")
    numbers = [*map(float, (config["views"], config["temperature"], config["threshold"])), *(shares or ())]
    if not np.isfinite(numbers).all() or len(shares or config["classes"]) != len(config["classes"]):
        raise ValueError(f"views, temperature, threshold, log_shares: {numbers}")
    return TypeRecipe(**config["recipe"])


def _field_around(
    rgb: RgbImage, centre_xy_px: npt.NDArray[np.float64], cell_px: float
) -> tuple[RgbImage, npt.NDArray[np.float64]]:
    """What lies within `_FIELD_CELLS` widths of a red cell, and the centre in it: of a slide no more is read."""
    reach = round(_FIELD_CELLS * cell_px)
    left, top = (max(0, round(float(c)) - reach) for c in centre_xy_px)
    right, bottom = (max(1, round(float(c)) + reach) for c in centre_xy_px)
    return np.asarray(rgb[top:bottom, left:right]), centre_xy_px - (left, top)


def _check(rgb: RgbImage, boxes: Boxes, cell_px: float) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise BadInputError("a picture must be 8-bit RGB", got=f"{rgb.dtype} {rgb.shape}", expected="uint8 (H, W, 3)")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise BadInputError("boxes must be xyxy", got=str(boxes.shape), expected="(N, 4)")
    if not 4 <= cell_px <= 2000:
        raise BadInputError("width of a red cell in px cannot be meant", got=str(cell_px), expected="4 to 2000")
