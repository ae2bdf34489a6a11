"""A trained model as a folder: `weights.safetensors` and `config.json` (options, classes, fingerprints, digests)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from blood_kedro.library.core.errors import ConfigurationError, DataContractError, UnsafeFileError
from blood_kedro.library.core.files import replaced_folder
from blood_kedro.library.core.hashing import sha256_of_file
from blood_kedro.library.core.records import Record, place, read_record
from blood_kedro.library.core.weights import fill, read_weights

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
# In the config: SHA-256 of the file of weights, and of all else that the config says (classes in their order, options).
DIGEST, CONFIG_DIGEST = "weights_sha256", "config_sha256"
_MOST_CONFIG_BYTES = 64 << 20
# What networks raise for options that nobody checked.
_OF_OPTIONS = (ConfigurationError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError)
_REMEDY = "train it again, or copy the whole folder again from where it was saved; a shipped model: install the package"


@dataclass(frozen=True)
class ModelBundle:
    """Weights by layer name, and all that is needed to rebuild and judge the model (JSON-like).

    `weights` are tensors on the CPU, or numpy arrays where they were read without PyTorch (`weights.read_arrays`).
    `record` says where and on what a saved model was trained; None while it is new, or where nobody wrote it down.
    `folder` is where it was read from; None while it is new.
    """

    weights: dict[str, Any]
    config: dict[str, Any]
    record: Record | None = None
    folder: Path | None = field(default=None, compare=False)


def save_bundle(bundle: ModelBundle, folder: Path) -> None:
    """Write the folder whole: it is filled under a temporary name and then takes the place of an earlier one."""
    from safetensors.torch import save_file

    with replaced_folder(folder) as new:
        save_file({name: value.contiguous() for name, value in bundle.weights.items()}, new / WEIGHTS)
        config = {**bundle.config, DIGEST: sha256_of_file(new / WEIGHTS)}
        (new / CONFIG).write_text(json.dumps(signed(config), indent=1), encoding="utf-8")


def signed(config: dict[str, Any]) -> dict[str, Any]:
    """A config with the digest of all that it says."""
    return {**config, CONFIG_DIGEST: _digest_of(config)}


def load_config(folder: Path) -> dict[str, Any]:
    """What a saved model says of itself, without its weights.

    Raises:
        DataContractError: there is none, or it is cut, damaged or other than it was saved.
    """
    _check(folder)
    path = folder / CONFIG
    try:
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path, f"{type(error).__name__}: {str(error)[:200]}", "a JSON object") from error
    if not isinstance(config, dict):
        raise _unusable(path, type(config).__name__, "a JSON object")
    absent = [name for name in (DIGEST, CONFIG_DIGEST) if not isinstance(config.get(name), str)]
    if absent:
        raise _unusable(path, f"no {', '.join(absent)}", "digests of the weights and of itself, as saving writes them")
    if config[CONFIG_DIGEST] != _digest_of(config):
        raise _unusable(path, "another text than was saved: its digest does not fit", config[CONFIG_DIGEST])
    for name in ("classes", "kinds"):
        if name in config and not _names(config[name]):
            raise _unusable(path, f"{name}: {str(config[name])[:100]}", "a list of names, each once")
    return config


def load_bundle(folder: Path, read: Callable[[Path, str], dict[str, Any]] = read_weights) -> ModelBundle:
    """Read a folder.

    Args:
        folder: as `save_bundle` wrote it.
        read: weights of a file; the second argument is the remedy where it cannot be used.

    Raises:
        DataContractError: it, or a part of it, is missing, cut, damaged or other than it was saved.
        UnsafeFileError: the weights are not those that the config was written for.
    """
    config = load_config(folder)
    path = folder / WEIGHTS
    digest = sha256_of_file(path)
    if digest != config[DIGEST]:
        raise UnsafeFileError(
            "the weights of a model are other ones than its config.json was written for",
            where=str(path.absolute()),
            got=f"SHA-256 {digest}, {path.stat().st_size:,} bytes",
            expected=config[DIGEST],
            remedy=_REMEDY,
        )
    weights = read(path, _REMEDY)
    del config[DIGEST], config[CONFIG_DIGEST]  # of the files; what is saved next has others
    return ModelBundle(weights, config, read_record(place(folder, is_model=True)), folder)


def rebuilt(bundle: ModelBundle, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """The network of a bundle with its weights, ready to predict.

    Args:
        bundle: the model.
        build: makes the network from the config, with any weights.

    Raises:
        DataContractError: the config does not describe a network of this project, or the weights are not its own.
    """
    where = "a model" if bundle.folder is None else str(bundle.folder.absolute())
    return fill(built(bundle, build), bundle.weights, where, _REMEDY)


def built(bundle: ModelBundle, build: Callable[[dict[str, Any]], T]) -> T:
    """What `build` makes of a config: a network, with whatever weights.

    Raises:
        DataContractError: it describes none.
    """
    try:
        return build(bundle.config)
    except _OF_OPTIONS as error:
        where = Path("config") if bundle.folder is None else bundle.folder / CONFIG
        raise _unusable(
            where, f"{type(error).__name__}: {str(error)[:200]}", "the options of a network of this project"
        ) from error


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise DataContractError(
            "there is no trained model", where=str(folder), remedy="run the pipeline that trains it first"
        )
    missing = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    if missing:
        raise DataContractError(
            "model bundle is incomplete", where=str(folder), got=f"no {', '.join(missing)}", remedy="train it again"
        )


def _unusable(path: Path, got: str, expected: str) -> DataContractError:
    return DataContractError(
        "what a model says of itself cannot be used", where=str(path), got=got, expected=expected, remedy=_REMEDY
    )


def _digest_of(config: dict[str, Any]) -> str:
    """Of the content, not of blanks and the order of names."""
    said = {name: value for name, value in config.items() if name != CONFIG_DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _names(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )
