"""A trained model as a folder: `weights.safetensors` and `config.json` (options, classes, fingerprints)."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.records import Record, place, read_record

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, CONFIG = "weights.safetensors", "config.json"


@dataclass(frozen=True)
class ModelBundle:
    """Weights by layer name, and all that is needed to rebuild and judge the model (JSON-like).

    `record` says where and on what a saved model was trained; None while it is new, or where nobody wrote it down.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any]
    record: Record | None = None


def save_bundle(bundle: ModelBundle, folder: Path) -> None:
    """Write the folder whole: it is filled under a temporary name and then renamed."""
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".part-"))
    try:
        save_file({name: value.contiguous() for name, value in bundle.weights.items()}, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(bundle.config, indent=1))
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_config(folder: Path) -> dict[str, Any]:
    """What a saved model says of itself, without its weights.

    Raises:
        DataContractError: there is none.
    """
    _check(folder)
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    return config


def load_bundle(folder: Path) -> ModelBundle:
    """Read a folder.

    Raises:
        DataContractError: it, or a part of it, is missing.
    """
    from safetensors.torch import load_file

    config = load_config(folder)
    return ModelBundle(load_file(folder / WEIGHTS), config, read_record(place(folder, is_model=True)))


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
