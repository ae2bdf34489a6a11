"""Kinds of cells, and the CNN of Rao et al. 2024 that tells them apart on cutouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.taxonomy import COARSE

if TYPE_CHECKING:
    from torch import nn

    from blood_kedro.library.core.model_bundle import ModelBundle

Floats = npt.NDArray[np.float64]
CELL_TYPES = COARSE


def build_network(kinds: int, side_px: int, dropout: float) -> nn.Module:
    """The CNN of Rao et al. 2024, section 3.4 and Fig. 3: convolutions (32, 64, 128), a dense layer of 512, dropout.

    It takes `(N, 3, S, S)` in 0..1; two kinds have one logit, more have one each. Neither the paper nor
    docs/facts/peer.md#classifier gives a padding; here the map keeps its size.
    """
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(128 * (side_px // 8) ** 2, 512),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(512, 1 if kinds == 2 else kinds),
    )


def load_network(bundle: ModelBundle) -> nn.Module:
    """The classifier of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe such a classifier, or the weights are not its own.
    """
    from blood_kedro.library.core.model_bundle import rebuilt

    return rebuilt(bundle, _network)


def _network(config: dict[str, Any]) -> nn.Module:
    """Raises what a config raises that lacks what naming needs, too."""
    unknown = set(config["kinds"]) - set(CELL_TYPES)
    if "normalised" not in config or unknown or not float(config["cutout_cell_px"]) > 0:
        raise ValueError(f"kinds {config['kinds']}, cutout_cell_px {config['cutout_cell_px']}")
    return build_network(len(config["kinds"]), int(config["side_px"]), 0.0)


def probabilities(network: nn.Module, cutouts: npt.NDArray[np.uint8]) -> Floats:
    """Of each kind that a network tells apart, `(N, kinds)`, for cutouts `(N, S, S, 3)`."""
    import torch

    from blood_kedro.library.training.crops import unlabelled
    from blood_kedro.library.training.predict import outputs

    logits = torch.cat(list(outputs(network, unlabelled(cutouts))))
    if logits.shape[1] == 1:
        p = logits.sigmoid()
        return np.asarray(torch.cat([1 - p, p], dim=1).numpy(), np.float64)
    return np.asarray(logits.softmax(dim=1).numpy(), np.float64)
