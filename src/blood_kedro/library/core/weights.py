"""Reading weights: tensors by name and nothing else, all of them finite, from a whole regular file."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import DataContractError, UnsafeFileError, WeightsNotFoundError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

_AGAIN = "take the file from where it came from again, or train the model again"


def read_weights(path: Path, remedy: str = _AGAIN) -> dict[str, Tensor]:
    """Tensors by name, on the CPU: from safetensors, by the suffix, else from what `torch.save` made of a state dict.

    No object of a pickle but tensors is ever made.

    Args:
        path: of the file.
        remedy: what to do where it cannot be used.

    Raises:
        WeightsNotFoundError: there is no such file.
        UnsafeFileError: it is a pickle that holds more than tensors.
        DataContractError: it is no regular file, is cut or damaged, holds something else, or a value is not finite.
    """
    _regular_file(path, remedy)
    state = _state(path, remedy)
    if not isinstance(state, dict) or not state or not all(_is_weight(*item) for item in state.items()):
        raise DataContractError(
            "a file of weights does not hold tensors by name",
            where=str(path.absolute()),
            got=_kind(state),
            expected="a state dict: names of layers and their tensors of numbers",
            remedy=remedy,
        )
    check_finite(state, str(path.absolute()), remedy)
    return state


def read_arrays(path: Path, remedy: str = _AGAIN) -> dict[str, npt.NDArray[np.generic]]:
    """The same from safetensors alone, as numpy arrays: where nothing is trained, PyTorch need not start.

    Args:
        path: of the file.
        remedy: what to do where it cannot be used.

    Raises:
        WeightsNotFoundError: there is no such file.
        DataContractError: it is no regular file, is cut or damaged, or holds nothing.
    """
    from safetensors.numpy import load_file

    _regular_file(path, remedy)
    try:
        return dict(load_file(path))
    except Exception as error:  # as in `_state`
        raise _damaged(path, error, remedy) from error


def _regular_file(path: Path, remedy: str) -> None:
    """Refuse what cannot be read to its end: folders, pipes, devices, and files that hold nothing.

    Raises:
        WeightsNotFoundError: there is none.
        DataContractError: it is something else than a file, or empty.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise WeightsNotFoundError(
            "the file of weights does not exist", where=str(path.absolute()), got=str(error), remedy=remedy
        ) from error
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        raise DataContractError(
            "the file of weights is no file with content",
            where=str(path.absolute()),
            got="an empty file" if stat.S_ISREG(status.st_mode) else "a folder, a pipe or a device",
            remedy=remedy,
        )


def check_finite(weights: Mapping[str, Tensor], where: str, remedy: str = _AGAIN) -> None:
    """Refuse weights with values that are no numbers, or infinite.

    Raises:
        DataContractError: there are such.
    """
    broken = [name for name, value in weights.items() if value.is_floating_point() and not _finite(value)]
    if broken:
        raise DataContractError(
            "weights hold values that are no numbers",
            where=where,
            got=f"{', '.join(broken[:3])} ({len(broken)} layers in all)",
            expected="finite values",
            remedy=remedy,
        )


def fill(network: nn.Module, weights: Mapping[str, Tensor], where: str, remedy: str = _AGAIN) -> nn.Module:
    """Load all weights of a network, in the network's own precision, and set it to predict.

    Raises:
        DataContractError: layers are missing, unknown or of another shape, or a weight is not finite.
    """
    state = network.state_dict()
    differing = [name for name in state.keys() & weights.keys() if state[name].shape != weights[name].shape]
    wrong = [
        *(f"no {name}" for name in sorted(state.keys() - weights.keys())),
        *(f"unknown {name}" for name in sorted(weights.keys() - state.keys())),
        *(f"{name} {tuple(weights[name].shape)} for {tuple(state[name].shape)}" for name in sorted(differing)),
    ]
    if wrong:
        raise DataContractError(
            "weights do not fit the network that config.json describes",
            where=where,
            got=f"{'; '.join(wrong[:3])} ({len(wrong)} layers in all)",
            expected="every layer once, in the shape that options and classes ask for",
            remedy=remedy,
        )
    check_finite(weights, where, remedy)
    network.load_state_dict({name: value.to(state[name].dtype) for name, value in weights.items()})
    return network.eval()


def _state(path: Path, remedy: str) -> Any:  # noqa: ANN401 - whatever a file holds
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # a node of a cluster has torch alone

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UnsafeFileError(
            "the file of weights is a pickle that holds more than tensors; loading it could run foreign code",
            where=str(path.absolute()),
            got=_first_sentence(error),
            expected="a state dict of tensors, or safetensors",
            remedy="have whoever made it save the state dict alone",
        ) from error
    except Exception as error:  # both libraries raise many kinds for a file that is cut or is another one
        raise _damaged(path, error, remedy) from error


def _damaged(path: Path, error: Exception, remedy: str) -> DataContractError:
    return DataContractError(
        "the file of weights cannot be read",
        where=str(path.absolute()),
        got=f"{type(error).__name__}: {_first_sentence(error)}",
        expected="a whole file of weights",
        remedy=remedy,
    )


def _first_sentence(error: Exception) -> str:
    """Of torch's advice the rest is how to run what a file holds."""
    return (str(error).splitlines() or [""])[0].partition(". ")[0][:200]


def _is_weight(name: object, value: object) -> bool:
    import torch

    known = {
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    }
    return (
        isinstance(name, str)
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.dtype in known
    )


def _finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())


def _kind(state: object) -> str:
    if not isinstance(state, dict):
        return type(state).__name__
    other = [str(name) for name, value in state.items() if not _is_weight(name, value)]
    return f"{len(state)} entries, of which these are no tensors: {', '.join(other[:3])}" if other else "no entry"
