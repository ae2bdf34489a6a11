"""What is short in the parameters is written out where they are read, for sessions as for what has none."""

from __future__ import annotations

import pytest

from blood_kedro.environments import config_loader
from blood_kedro.library.core.errors import ConfigurationError
from tests.conftest import PROJECT, copy_project


def test_parameters_know_their_names_without_a_session() -> None:
    """`kedro viz` makes options of them and stops where a name or a width is missing."""
    loader = config_loader(PROJECT, "base")
    parameters = loader["parameters"]
    assert parameters["shipped"]["cells"]["trainings"]["cells_all"]["name"] == "cells_all"
    assert parameters["overlap"]["crops"]["overlap_cells"]["cell_px"] == parameters["sources"]["synthetic"]["cell_px"]
    assert "name" not in loader.as_written()["shipped"]["cells"]["trainings"]["cells_all"]
    assert loader["parameters"] is parameters  # written out once


def test_a_mistyped_key_of_a_file_is_named_when_it_is_read(tmp_path) -> None:
    folder = copy_project(tmp_path / "project")
    with (folder / "conf/base/parameters_merging.yml").open("a") as file:
        file.write("\nmergin: {split: grouped}\n")
    with pytest.raises(ConfigurationError, match=r"(?s)mergin.*merging"):
        config_loader(folder, "base")["parameters"]
