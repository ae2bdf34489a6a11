"""The checkpoint that a killed training continues from."""

from __future__ import annotations

import shutil
from pathlib import Path

from lightning.pytorch.callbacks import ModelCheckpoint

_NAME = "resume"


def checkpoint(work_folder: Path, identity: str) -> ModelCheckpoint:
    """Keeps the state of the last finished epoch of the training that `identity` names."""
    return ModelCheckpoint(
        work_folder / identity, _NAME, monitor=None, enable_version_counter=False, save_on_train_epoch_end=True
    )


def resume_point(work_folder: Path, identity: str) -> str | None:
    """The checkpoint of the same training, if one was left; those of other trainings are removed."""
    for path in work_folder.glob("*"):
        if path.name != identity:
            shutil.rmtree(path, ignore_errors=True)
    path = work_folder / identity / f"{_NAME}.ckpt"
    return str(path) if path.is_file() else None
