"""The study compares what differs in one thing, over several seeds, and goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import study

from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.detection.options import Regimen
from tests.conf.test_configuration import load


def differences(one: str, other: str) -> set[str]:
    values = load("laptop")
    a, b = (study.recipe_of(name, 1, values).model_dump(exclude={"name"}) for name in (one, other))
    return {key for key in a if a[key] != b[key]}


def test_arms_differ_in_what_their_question_is_about() -> None:
    assert len(set(study.SEEDS)) >= 3
    asked = dict(study.QUESTIONS)
    for pair in asked["Does transfer help at equal augmentation?"]:
        assert differences(*pair) == {"first_weights"}
    for pair in asked["What does augmentation do?"]:
        assert differences(*pair) == {"augmentation"}
    for name, expected in {
        "balanced": {"sampler"},
        "focal": {"head_loss"},
        "fitted_anchors": {"network"},
        "rare_class_copy_paste": {"copy_paste"},
        "balanced_copy_paste": {"copy_paste", "sampler"},
        "source_aware": {"ignore_regions", "label_space"},
        "generated_smears": {"first_weights", "network"},
    }.items():
        assert differences(study.PLAIN, name) == expected, name
    for name in study.ARMS:
        recipe = study.recipe_of(name, 1, load("laptop"))
        # Live batch norm needs the statistics of eight images, frozen batch norm weights that it was trained with
        # (decision 14).
        assert recipe.network.norm != "batch" or recipe.batch_size >= 8
        assert recipe.network.norm != "frozen_batch" or recipe.first_weights.kind == "imagenet"


def training(recipe: Regimen, data: str, value: float) -> dict[str, Any]:
    """What is kept of a training whose AP50 is `value`, and by how much draws are off it."""
    part = {"map_50": value, "bootstrap": {"map_50": (value + np.linspace(-0.02, 0.02, 101)).tolist()}}
    fine = {**part, "map": value / 2, "map_75": None, "mar_100": value}
    fine["bootstrap"] = {**part["bootstrap"], "map": part["bootstrap"]["map_50"], "map_75": []}
    return {
        "arm": recipe.name,
        "minutes": 3.0,
        "machine": "a card",
        **fine,
        "coarse": part,
        "by_source": {"bccd": part},
        "ap_50_per_class": dict.fromkeys(study.RARE, value),
        "objects_per_class": dict.fromkeys(study.RARE, 4),
        "images": 7,
        "groups": 6,
        "objects": 70,
        "ignore_regions": 0,
        "regimen": to_plain(recipe.recipe),
        "data_fingerprint": data,
    }


def test_mean_spread_over_seeds_and_interval_over_groups() -> None:
    values = load("laptop")
    better, plain = (
        {seed: training(study.recipe_of(name, seed, values), "d", value + 0.01 * k) for k, seed in enumerate((1, 2, 3))}
        for name, value in (("balanced", 0.30), (study.PLAIN, 0.20))
    )
    runs = list(better.values())
    # values .30, .31, .32; draws of the mean within .02 of .31
    assert study.shown(runs, None, "map_50", ()) == "0.310 ± 0.010 [0.291, 0.329]"
    assert study.shown(runs[:1], None, "map_50", ("coarse",)) == "0.300 [0.281, 0.319]"
    assert study.shown(runs, None, "map_75", ()) == "–"
    # paired by seed and by draw: nothing is left of either spread, and 0 is outside
    difference = "**+0.100 ± 0.000 [+0.100, +0.100]**"
    assert study.shown(runs, list(plain.values()), "map_50", ("by_source", "bccd")) == difference
    text = study.page({study.PLAIN: plain, "balanced": {seed: better[seed] for seed in (1, 2)}})
    assert f"| balanced − {study.PLAIN} | 2 | {difference}" in text
    assert "balanced (2 of 3)" in text
    assert "focal (0 of 3)" in text


def test_the_study_goes_on_where_it_was_and_repeats_what_is_of_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def run(recipe: Regimen, values: dict[str, Any], coco: dict[str, Any], work: Path) -> dict[str, Any]:
        made.append((recipe.name, recipe.seed))
        return training(recipe, study.data_of(recipe, coco), 0.3)

    monkeypatch.setattr(study, "parameters", lambda: load("laptop"))
    monkeypatch.setattr(study, "run_arm", run)
    for name, value in {"UNIFIED": tmp_path, "OUT": tmp_path / "study", "PAGE": tmp_path / "study.md"}.items():
        monkeypatch.setattr(study, name, value)

    def data(file_name: str) -> None:
        images = [{"id": n, "file_name": file_name, "source": s} for n, s in enumerate(("bccd", "chula", "pbc"))]
        for split in ("train", "val"):
            (tmp_path / f"coco_{split}.json").write_text(json.dumps({"images": images, "annotations": []}))

    data("a.png")
    study.main(["balanced", "without_bccd"])
    assert made == [(name, seed) for seed in study.SEEDS for name in ("balanced", "without_bccd")]
    made.clear()
    study.main(["balanced"])
    assert not made
    assert "without_bccd" in (tmp_path / "study.md").read_text()
    (tmp_path / "study" / f"balanced_seed_{study.SEEDS[1]}.json").unlink()
    study.main(["balanced"])
    assert made == [("balanced", study.SEEDS[1])]
    data("b.png")
    made.clear()
    study.main(["balanced"])
    assert len(made) == len(study.SEEDS)
