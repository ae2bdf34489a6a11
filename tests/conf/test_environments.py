"""Environments keep their results apart, whichever there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blood_kedro import app
from blood_kedro.environments import config_loader, results_root
from blood_kedro.library.core.records import Data, Record, place, write_record
from tests.conftest import PROJECT

OTHERS = sorted(
    path.name for path in (PROJECT / "conf").iterdir() if path.is_dir() and path.name not in ("base", "local")
)


def paths(project: Path, environment: str | None) -> dict[str, str]:
    """Where every dataset of results is."""
    catalog = config_loader(project, environment)["catalog"]
    stored = {name: entry for name, entry in catalog.items() if entry["type"] != "kedro.io.MemoryDataset"}
    found = {name: str(entry["filepath"]) for name, entry in stored.items() if not name.startswith("_")}
    return {
        name: path
        for name, path in found.items()
        # Raw data are shared, and models that come with the project lie in the package.
        if name not in ("{source}.target_folder", "raw_root") and "{source}.raw" not in name and "src/" not in path
    }


def test_base_stays_where_it_was() -> None:
    for environment in (None, "local", "base"):
        found = paths(PROJECT, environment)
        assert found["summary"] == "data/08_reporting/summary.json"
        assert found["{regimen}.model"] == "data/06_models/{regimen}"
        assert found["synthetic.raw_folder"] == "data/01_raw/synthetic"


@pytest.mark.parametrize("environment", OTHERS)
def test_no_result_of_an_environment_lies_where_those_of_another_do(environment: str) -> None:
    base, own = paths(PROJECT, "base"), paths(PROJECT, environment)
    assert set(own) == set(base)
    assert not {name for name in own if own[name] == base[name]}
    assert {path.split("/")[1] for path in own.values()} == {environment}
    assert config_loader(PROJECT, environment)["globals"]["raw_root"] == config_loader(PROJECT)["globals"]["raw_root"]


@pytest.mark.parametrize("environment", ["base", *OTHERS])
def test_parameters_name_no_folder_of_another_environment(environment: str) -> None:
    loader = config_loader(PROJECT, environment)
    named = re.findall(r"data/[\w./<>{}-]+", str(loader["parameters"]))
    root = loader["globals"]["results_root"]
    assert {path for path in named if not path.startswith(("data/01_raw", f"{root}/"))} == set()


def test_a_new_environment_has_a_folder_of_its_own_without_saying_so(project: Path) -> None:
    (project / "conf/mine").mkdir()
    assert results_root(project, "mine") == project / "data/mine"
    assert paths(project, "mine")["summary"] == "data/mine/08_reporting/summary.json"
    assert paths(project, "base")["summary"] == "data/08_reporting/summary.json"


def test_loaders_of_two_environments_do_not_mix(project: Path) -> None:
    first = config_loader(project, "laptop")
    second = config_loader(project, "paper")  # Kedro's resolver of globals would now answer for both
    assert first["catalog"]["summary"]["filepath"] == "data/laptop/08_reporting/summary.json"
    assert second["catalog"]["summary"]["filepath"] == "data/paper/08_reporting/summary.json"


def test_make_clean_and_make_study_know_the_folders() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert f"{results_root(PROJECT, 'laptop').relative_to(PROJECT)}/05_model_input/unified" in makefile
    assert "$(addprefix data/,$(OTHERS))" in makefile


def test_the_app_takes_models_of_its_environment_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = project / "data/06_models/regimen_2"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    trained_on = {"unified_summary": [Data("x", {"synthetic": 75})]}
    write_record(
        place(model, is_model=True), Record("regimen_2.model", "n", "base", "2026-11-25T10:00:00", None, trained_on)
    )
    monkeypatch.setenv("KEDRO_ENV", "laptop")
    assert app.detectors(project) == []
    (shipped,) = app.models(project, [])
    assert "comes with the project" in shipped
    monkeypatch.delenv("KEDRO_ENV")
    assert app.detectors(project) == ["regimen_2"]
    assert "on generated smears only (75 pictures). This is the demo" in app.models(project, ["regimen_2"])[1]
