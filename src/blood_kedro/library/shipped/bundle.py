"""Models that come with the project: half-precision weights with all that says what they are.

`blood_kedro/models/<name>/{weights.safetensors, config.json}`; the second holds the classes, the recipe, the
fingerprint of the data, the figures, where the pictures come from, and the digest of the first.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError, DataContractError, UnsafeFileError
from blood_kedro.library.core.git import commit_of
from blood_kedro.library.core.hashing import sha256_of_file
from blood_kedro.library.core.model_bundle import WEIGHTS, ModelBundle, load_bundle, load_config

if TYPE_CHECKING:
    from torch import Tensor, nn

DIGEST = "weights_sha256"


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


def load_shipped(name: str, folder: Path | None = None) -> ModelBundle:
    """A shipped model, weights as they are stored.

    Args:
        name: of the model.
        folder: where models are, if not in the package.

    Raises:
        ConfigurationError: there is no such model.
        DataContractError: a file is missing.
        UnsafeFileError: the weights are not those that its config was written for.
    """
    home = folder or models_folder()
    if not (home / name / "config.json").is_file():
        raise ConfigurationError(
            "there is no shipped model of that name", where=str(home), got=name,
            expected=", ".join(sorted(path.parent.name for path in home.glob("*/config.json"))) or "none is installed",
            remedy="name one of these, or train them: make train-shipped",
        )  # fmt: skip
    wanted = load_config(home / name).get(DIGEST)
    found = sha256_of_file(home / name / WEIGHTS)
    if found != wanted:
        raise UnsafeFileError(
            "the weights of a shipped model are other ones than were shipped", where=str(home / name / WEIGHTS),
            got=f"SHA-256 {found}", expected=str(wanted), remedy="install the package again",
        )  # fmt: skip
    return load_bundle(home / name)


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


def fill(network: nn.Module, bundle: ModelBundle, name: str) -> None:
    """Load the weights of a bundle into a network, in the network's own precision, and set it to predict.

    Raises:
        DataContractError: layers are missing, unknown or of another shape, or a weight is not finite.
    """
    own = network.state_dict()
    wrong = sorted(own.keys() ^ bundle.weights.keys())
    wrong += [key for key in own.keys() & bundle.weights.keys() if own[key].shape != bundle.weights[key].shape]
    if wrong:
        raise DataContractError(
            "weights do not fit the network", where=f"model {name}", got=", ".join(wrong[:3]),
            expected="the layers of this version of the project", remedy="install the version that the model came with",
        )  # fmt: skip
    broken = [key for key, value in bundle.weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise DataContractError(
            "weights hold values that are no numbers", where=f"model {name}", got=", ".join(broken[:3]),
            remedy="install the package again",
        )  # fmt: skip
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in bundle.weights.items()})
    network.eval()
