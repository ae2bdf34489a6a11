"""The checkpoint that a killed training continues from; one that is cut, or of another training, is made anew."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

logger = logging.getLogger(__name__)

_NAME, _MADE_OF = "resume", "made_of"


class _Named(ModelCheckpoint):
    """Writes into every checkpoint which training it is of."""

    def __init__(self, folder: Path, identity: str) -> None:
        super().__init__(folder, _NAME, monitor=None, enable_version_counter=False, save_on_train_epoch_end=True)
        self._identity = identity

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Also for the checkpoints that other callbacks keep."""
        checkpoint[_MADE_OF] = self._identity


def checkpoint(work_folder: Path, identity: str) -> ModelCheckpoint:
    """Keeps the state of the last finished epoch of the training that `identity` names."""
    return _Named(work_folder / identity, identity)


def resume_point(work_folder: Path, identity: str) -> str | None:
    """The checkpoint of the same training, if one was left; those of other trainings are removed.

    All checkpoints of a training are looked at: where one is cut or damaged, it begins anew, and the log says so.
    """
    for path in work_folder.glob("*"):
        if path.name != identity:
            shutil.rmtree(path, ignore_errors=True)
    folder = work_folder / identity
    path = folder / f"{_NAME}.ckpt"
    if not path.is_file():
        return None
    if all(saved_state(each, identity, ("state_dict",)) is not None for each in sorted(folder.glob("*.ckpt"))):
        return str(path)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def saved_state(path: Path, identity: str, names: Collection[str]) -> dict[str, Any] | None:
    """What a checkpoint holds; None where there is none of this training, or one that cannot be used: that is logged.

    Args:
        path: of the file, a dictionary that `torch.save` wrote; nothing but tensors and plain values is unpickled.
        identity: its `made_of`.
        names: further entries that it must have.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        other = state[_MADE_OF] != identity
        absent = [name for name in names if name not in state]
    except Exception as error:
        said = (str(error).splitlines() or [""])[0].partition(". ")[0][:200]
        logger.warning("checkpoint %s cannot be used, training begins anew: %s: %s", path, type(error).__name__, said)
        return None
    if other or absent:
        reason = "it is of another training" if other else f"it lacks {', '.join(absent)}"
        logger.warning("checkpoint %s cannot be used, training begins anew: %s", path, reason)
        return None
    restored: dict[str, Any] = state
    return restored
