"""What this project sets in other libraries holds while it is needed, and is then as it was."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from blood_kedro.library.core.git import commit_of
from blood_kedro.library.core.logs import at_level, without_warning
from blood_kedro.library.imaging.large import pixels_of
from blood_kedro.library.imaging.threads import one_thread
from blood_kedro.library.training.epochs import without_tips


def test_opencv_has_its_threads_back() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with pytest.raises(ValueError, match="in the midst"), one_thread():
            assert cv2.getNumThreads() == 1
            raise ValueError("in the midst")
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_loggers_and_warnings_are_as_they_were() -> None:
    logger, tips = logging.getLogger("of another"), logging.getLogger("lightning.pytorch")
    before, filters = (logger.level, tips.level), list(warnings.filters)
    with at_level(logger, logging.ERROR), without_tips():
        assert (logger.level, tips.level) == (logging.ERROR, logging.WARNING)
        assert logging.getLogger("pytorch_lightning").level == logging.WARNING  # the same package by its other name
        with warnings.catch_warnings(record=True) as said:
            warnings.warn("the dataloader has few num_workers", stacklevel=1)
            warnings.warn("a true one", stacklevel=1)
        assert [str(each.message) for each in said] == ["a true one"]
    assert (logger.level, tips.level) == before
    assert list(warnings.filters) == filters


TRAINING = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="ours %(name)s: %(message)s")
import numpy as np
from torch import nn
from blood_kedro.library.training.crops import CropData
from blood_kedro.library.training.options import Compute, Training
from blood_kedro.library.training.supervised import fit_supervised

data = CropData(np.zeros((8, 4, 4, 3), np.uint8), np.arange(8), np.arange(8) % 2, 0)
network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))

def dies(row):
    if row["epoch"] == 2:
        raise KeyError("power cut")

for stop in (dies, lambda row: None):  # the second one continues
    try:
        fit_supervised(
            network, nn.CrossEntropyLoss(), data, data, Training(epochs=3, batch_size=8), seed=0, identity="quiet",
            work_folder=Path(sys.argv[1]), compute=Compute(accelerator="cpu"), on_epoch=stop,
        )
    except KeyError:
        pass
logging.getLogger("lightning.pytorch.utilities.rank_zero").info("heard again")
print("done")
"""


def test_a_training_says_nothing_of_lightnings_own(tmp_path: Path) -> None:
    """In a process of its own, since the level is set when Lightning is imported."""
    asked = [sys.executable, "-W", "error::UserWarning", "-c", TRAINING, str(tmp_path / "work")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if ": training" not in line]
    assert said == ["ours lightning.pytorch.utilities.rank_zero: heard again", "done"]
    assert "training continues from" in done.stdout
    assert "training: epoch 3 of 3, loss" in done.stdout
    assert done.stderr == "INFO: heard again\n"  # Lightning's own handler, which nothing of the training reached


def test_one_warning_is_not_heard_even_where_a_library_sets_filters() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with without_warning("of no use"), warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("this is of no use", stacklevel=1)
            warnings.warn("a true one", stacklevel=1)
        warnings.warn("this is of no use afterwards", stacklevel=1)
    assert [str(each.message) for each in said] == ["a true one", "this is of no use afterwards"]


def test_a_kept_picture_is_of_the_file_not_of_its_path(tmp_path: Path) -> None:
    """Two pictures of one size, written at one time by the clock of the disk, one after the other."""
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    for level, file in ((10, path), (200, other)):
        cv2.imwrite(str(file), np.full((9, 9, 3), level, np.uint8))
        os.utime(file, ns=(time.time_ns(), 1_700_000_000_000_000_000))
    assert path.stat().st_size == other.stat().st_size
    assert int(pixels_of(path).max()) == 10
    other.replace(path)
    assert int(pixels_of(path).max()) == 200


def test_the_commit_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(tmp_path) is None
    said = iter(["a" * 40, "b" * 40])

    class Done:
        def __init__(self) -> None:
            self.stdout = next(said) + "\n"

    monkeypatch.setattr("subprocess.run", lambda *_, **__: Done())
    assert [commit_of(tmp_path), commit_of(tmp_path)] == ["a" * 40, "b" * 40]
