"""One run of the demo for all tests that only look at it, whichever test process they are in."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import copy_project
from tests.pipelines.runs import QUICK, kedro_run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished run of every pipeline in `base`, on fewer images. Not to be written to."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent  # of all test processes
    folder = base / "demo"
    with FileLock(base / "demo.lock"):
        if not (folder / "finished").is_file():
            copy_project(folder)
            kedro_run(folder, "--params", QUICK)
            (folder / "finished").touch()
    return folder
