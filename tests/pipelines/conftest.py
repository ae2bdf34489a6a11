"""One run of the demo for all tests that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import copy_project
from tests.pipelines.runs import QUICK, kedro_run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of every pipeline in `base`, on fewer images."""
    folder = copy_project(tmp_path_factory.mktemp("demo") / "project")
    kedro_run(folder, "--params", QUICK)
    return folder
