"""What is given at the command line: keys that nothing reads, values that cannot be meant, paths as they are typed."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf

from blood_kedro.cli import parsed
from blood_kedro.environments import config_loader
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.plan import build, written_out
from blood_kedro.plan.keys import check_given
from blood_kedro.plan.names import IMAGES
from tests.conftest import PROJECT

ENVIRONMENTS = ["base", *sorted(p.name for p in (PROJECT / "conf").iterdir() if p.is_dir() and p.name != "base")]


@cache
def of_files(environment: str = "base") -> dict[str, Any]:
    return config_loader(PROJECT, environment).as_written()


def check(text: str) -> None:
    """As a run does it."""
    given = parsed(text)
    check_given(given, of_files())
    merged = OmegaConf.to_container(OmegaConf.merge(of_files(), given))
    assert isinstance(merged, dict)
    build({str(key): value for key, value in merged.items()})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_that_is_configured_can_be_given(environment: str) -> None:
    given = of_files(environment)
    check_given({key: value for key, value in given.items() if not key.startswith("_")}, given)
    build(given)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("sam_countin.input=a", "sam_counting"),
        ("sam_counting.inputs.own.cel_px=36", "sam_counting.inputs.own.cell_px"),
        ("sam_counting.own.cell_px=36", "sam_counting.input"),
        ("detection.inputs=a", "detection.input"),
        ("regimens.regimn_1.epochs=3", "regimens.regimen_1"),
        ("regimens.regimen_1.optimizer.lrr=1", "regimens.regimen_1.optimizer.lr"),
        ("sources.bccdd.enabled=true", "sources.bccd"),
        ("sources.synthetic.smears.slidez=3", "sources.synthetic.smears.slides"),
        ("standardization.sources.bcd.cell_px=1", "standardization.sources.bccd"),
        ("merging.duplicates.hash_dist=3", "merging.duplicates.hash_distance"),
        ("merging=full", "merging.<one of view"),
        ("evaluation.resample=3", "evaluation.resamples"),
        ("morphology.classifiers.efficientnet_b0.training.epoch=1", "training.epochs"),
        ("overlap.rules.concavty.single=1", "overlap.rules.concavity"),
        ("shipped.cells.recipe.step=1", "shipped.cells.recipe.steps"),
        ("shipped_types.white_cells.recipe.view.side=1", "recipe.view.side_px"),
        ("onbad_input=raise", "on_bad_input"),
        ("epochs=3", ".epochs"),
    ],
)
def test_a_key_that_nothing_reads_is_named_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check(wrong)
    assert raised.value.what.startswith("no such parameter: ")
    assert raised.value.what.removeprefix("no such parameter: ").split(" ")[0] in wrong
    assert nearest in raised.value.expected


def test_all_wrong_keys_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"no such parameter: sed, merging\.vew"):
        check("sed=1,merging.vew=full,merging.split=paper")


@pytest.mark.parametrize(
    "right",
    [
        "seed=1",
        "regimens.regimen_1.copy_paste=null",  # options have it, base does not write it
        "regimens.regimen_1.seeds=[0]",
        "regimens.regimen_1.search.optimizer.lr=[0.1]",
        "regimens.mine.name=mine,regimens.mine.epochs=1",
        "sources.mine.adapter=coco,standardization.sources.mine.cell_px=50",
        "sources.synthetic.smears.cells_per_field.giant_platelet=1",
        "sources.txl_pbc.labels.Other=wbc",
        "shipped.cells.trainings.cells_all.changes.steps=3",
        "",
    ],
)
def test_names_that_are_free_and_options_that_have_defaults_can_be_given(right: str) -> None:
    check(right)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("regimens.regimen_1.epochs=many", "regimens.regimen_1.epochs"),
        ("merging.val_fraction=2", "merging.val_fraction"),
        ("sources.synthetic.smears.cells_per_field.normal_rbcc=3", "cells_per_field"),
        ("seed=abc", "seed"),
        ("on_bad_input=stop", "on_bad_input"),
        ("sam_counting.inputs.own.cell_px=-3", "sam_counting.inputs.own.cell_px"),
        ("download.max_mb=much", "download.max_mb"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(wrong: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check(wrong)
    assert named in raised.value.got


@pytest.mark.parametrize("path", ["/data/my smears", "/d/it's: 3 #1", "/d/a=b", "/d/$5 {x} é", "2024", "0123", "yes"])
def test_a_path_is_taken_as_it_is_typed(path: str) -> None:
    assert parsed(f"sam_counting.input={path},seed=3") == {"sam_counting": {"input": path}, "seed": 3}


@pytest.mark.parametrize("path", ["/data/Smith, J/smears", "/data/a,", "/d/${x}"])
def test_a_path_that_would_be_cut_says_so_and_what_to_do(path: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parsed(f"sam_counting.input={path}")
    assert "make count IMAGES=" in raised.value.remedy
    assert "BLOOD_KEDRO_IMAGES" in raised.value.remedy


def test_a_piece_of_a_path_that_looks_like_a_parameter_is_no_parameter() -> None:
    with pytest.raises(ConfigurationError, match="no such parameter: b") as raised:
        check("sam_counting.input=/data/a,b=c")
    assert "make count IMAGES=" in raised.value.remedy


def test_other_values_are_yaml() -> None:
    assert parsed("a.b=null, c=[1],d=0.5 ,e=true,") == {"a": {"b": None}, "c": [1], "d": 0.5, "e": True}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        parsed("a=[1")


@pytest.mark.parametrize("path", ['/data/Smith, J/it\'s my="smears": ${x} $5 é', "~/smears", "here"])
def test_images_of_ones_own_are_named_in_a_variable(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.setenv(IMAGES, path)
    made = written_out(of_files())
    expected = str(Path(path).expanduser().absolute())
    assert made["sam_counting"]["input"] == made["detection"]["input"] == expected
    assert made["sam_counting"]["inputs"]["own"]["path"] == expected
    named = {**of_files(), "detection": {**of_files()["detection"], "input": "other"}}
    assert written_out(named)["detection"]["input"] == "other"


@pytest.mark.parametrize("name", ["a, b=c: d $HOME 'q' \"z\" é #h", "{x}"])
def test_raw_data_may_lie_in_a_folder_of_any_name_without_braces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOOD_KEDRO_RAW", f"/data/{name}")
    if "{" in name:
        with pytest.raises(ConfigurationError, match="braces"):
            config_loader(PROJECT)
        return
    loader = config_loader(PROJECT, "laptop")
    assert loader["globals"]["raw_root"] == f"/data/{name}"
    assert loader["catalog"]["{source}.raw_folder"]["filepath"] == f"/data/{name}/{{source}}"
