"""The last layer of a shipped classifier, fitted to corrected cells and held near what it was.

The sets that a model learnt from are not at hand where it is corrected, so nothing can remind it of them. What it sees
in a cell, its features, stays as it is; of the last layer, each weight costs the more the farther it moves. That is
the most probable layer where the old weights are the mean of a Gaussian prior (maximum a posteriori), and with few
corrections little moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.shipped.type_network import CellTypeNet, network_for
from blood_kedro.library.shipped.type_options import TypeRecipe
from blood_kedro.library.shipped.type_probabilities import images_of, orientation, softened
from blood_kedro.library.shipped.type_training import allowed_loss

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
_MOST_ITERATIONS = 200
_BATCH = 128


@dataclass(frozen=True)
class Head:
    """A last layer: `weight (C, F)` and `bias (C,)`."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities (`type_probabilities.softened`); a retrained model keeps its parent's."""

    temperature: float
    log_shares: Floats | None


def head_of(classifier: TypeClassifier) -> Head:
    """The last layer of a classifier.

    Raises:
        ConfigurationError: it is a probe of a foundation model, which has no such layer.
    """
    layer = network_of(classifier).head
    return Head(*(each.detach().double().numpy() for each in (layer.weight, layer.bias)))


def calibration_of(classifier: TypeClassifier) -> Calibration:
    """The calibration of a classifier."""
    return Calibration(classifier.temperature, classifier.log_shares)


def features_of(classifier: TypeClassifier, crops: npt.NDArray[np.uint8]) -> Features:
    """What the last layer sees of cells, `(N, V, F)`: of each orientation over which the classifier averages.

    Args:
        classifier: see `head_of`.
        crops: `(N, S, S, 3) uint8`, as `TypeClassifier.crops` cuts them.
    """
    network = network_of(classifier)
    if not len(crops):
        return np.zeros((0, classifier.views, network.head.in_features), np.float32)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            images = images_of(crops[start : start + _BATCH])
            turned = (np.ascontiguousarray(orientation(images, k)) for k in range(classifier.views))
            parts.append(torch.stack([network.features(torch.from_numpy(each)) for each in turned], dim=1))
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def log_probabilities_by(head: Head, features: Features, calibration: Calibration) -> Floats:
    """Calibrated log-probabilities `(N, C)` of cells with `features (N, V, F)`: what the whole network would give."""
    logits = features @ head.weight.T + head.bias
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return softened(logs.mean(axis=1), calibration.temperature, calibration.log_shares)


def fit_head(
    features: Features, meant: npt.NDArray[np.bool_], start: Head, calibration: Calibration, hold: float
) -> Head:
    """The head under which corrected cells are likely and which is near where it started.

    It minimizes the sum over cells of minus the log-probability that the allowed classes have together, calibrated,
    averaged over views, plus `hold / 2` times the squared distance of all weights from those at the start. Nothing is
    random in it.

    Args:
        features: `(N, V, F)`.
        meant: `(N, C)`, classes that the label of each cell allows.
        start: head to start from and to stay near.
        calibration: of the classifier.
        hold: how dear it is to move.
    """
    seen = torch.from_numpy(features.reshape(-1, features.shape[2])).double()
    allowed = torch.from_numpy(np.repeat(meant, features.shape[1], axis=0))
    before = [torch.from_numpy(each.copy()) for each in (start.weight, start.bias)]
    weight, bias = (each.clone().requires_grad_() for each in before)
    shares = (
        torch.zeros(len(start.bias)) if calibration.log_shares is None else torch.from_numpy(calibration.log_shares)
    )
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        logits = nn.functional.linear(seen, weight, bias) / calibration.temperature + shares
        moved = sum(((now - then) ** 2).sum() for now, then in zip((weight, bias), before, strict=True))
        total: Tensor = len(features) * allowed_loss(logits, allowed, 0.0) + hold / 2 * moved
        total.backward()
        return total

    optimizer.step(objective)
    return Head(weight.detach().numpy(), bias.detach().numpy())


@lru_cache(maxsize=2)
def network_of(classifier: TypeClassifier) -> CellTypeNet:
    """The network of a classifier for PyTorch, which can learn, in evaluation mode.

    Raises:
        ConfigurationError: see `head_of`.
    """
    recipe = TypeRecipe(**classifier.config["recipe"])
    weights = {name: torch.as_tensor(value) for name, value in classifier.weights.items()}
    network = network_for(recipe, len(classifier.classes), weights)
    if not isinstance(network, CellTypeNet):
        raise ConfigurationError(
            "only the network that ships can learn from corrections",
            got=recipe.model,
            expected="efficientnet_lite0",
            remedy="start from a shipped model",
        )
    network.load_state_dict(weights)
    return network.eval()
