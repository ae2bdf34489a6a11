"""Models that come with the project: half-precision weights with all that says what they are.

`blood_kedro/models/<name>/{weights.safetensors, config.json}`; the second holds the classes, the recipe, the
fingerprint of the data, the figures, where the pictures come from, and the digest of the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.git import commit_of
from blood_kedro.library.core.model_bundle import DIGEST, ModelBundle, load_bundle, load_config
from blood_kedro.library.core.weights import read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn


def models_folder() -> Path:
    """Where the shipped models are installed."""
    return Path(str(files("blood_kedro"))) / "models"


def shipped_names() -> list[str]:
    """Names of the models that are there."""
    return sorted(path.parent.name for path in models_folder().glob("*/config.json"))


def bundle_of(network: nn.Module, config: dict[str, Any]) -> ModelBundle:
    """A model as it is shipped: floats in half precision, the digest of the weights in its config."""
    import torch
    from safetensors.torch import save

    weights: dict[str, Tensor] = {
        name: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    digest = hashlib.sha256(save(weights)).hexdigest()
    return ModelBundle(weights, {**config, "commit": commit_of(Path(__file__).parent), DIGEST: digest})


def load_shipped(
    name: str, folder: Path | None = None, read: Callable[[Path, str], dict[str, Any]] = read_weights
) -> ModelBundle:
    """A shipped model, weights as they are stored.

    Args:
        name: of the model.
        folder: where models are, if not in the package.
        read: its weights (`load_bundle`).

    Raises:
        ConfigurationError: there is no such model.
        DataContractError: a file is missing, cut, damaged or other than it was shipped.
        UnsafeFileError: the weights are not those that its config was written for.
    """
    home = folder or models_folder()
    if not (home / name / "config.json").is_file():
        raise ConfigurationError(
            "there is no shipped model of that name",
            where=str(home),
            got=name,
            expected=", ".join(sorted(path.parent.name for path in home.glob("*/config.json"))) or "none is installed",
            remedy="name one of these, or train them: make train-shipped",
        )
    return load_bundle(home / name, read)


def shipped_digest(name: str) -> str:
    """SHA-256 of the weights of a shipped model: another model, other results.

    Raises:
        DataContractError: it is not installed.
    """
    return str(load_config(models_folder() / name)[DIGEST])


def describe_shipped() -> str:
    """What the shipped detector was trained on, in a sentence.

    Raises:
        DataContractError: it is not installed.
    """
    config = load_config(models_folder() / "cells")
    sets = ", ".join(source["set"] for source in config["data"] if source["holds"].startswith(("pictures", "boxes")))
    return f"Model cells comes with the project; trained on {config['pictures']:,} real pictures: {sets}."
