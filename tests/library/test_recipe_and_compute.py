"""The recipe decides the result and names the training; the compute decides the time alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.detection import fit as fitting
from blood_kedro.library.detection import train_pack
from blood_kedro.library.detection.options import Network, Optimizer, Recipe, Regimen
from blood_kedro.library.training.options import Compute
from tests.fixtures.corpora import tiny_corpus, tiny_regimen

ELSEWHERE = Compute(workers=3, accelerator="gpu", devices=2, num_nodes=2, strategy="ddp")
# Another value for every field of the recipe: a new field is to be added here.
OTHER: dict[str, Any] = {
    "name": "other",
    "first_weights": {"kind": "imagenet"},
    "leave_out": "bccd",
    "augmentation": "paper_r1",
    "copy_paste": {"classes": ["teardrop"]},
    "sampler": "repeat_factor",
    "head_loss": "focal",
    "ignore_regions": True,
    "label_space": "source_aware",
    "normalization": "training_set",
    "network": Network(input_px=128),
    "optimizer": Optimizer(lr=0.1),
    "epochs": 3,
    "batch_size": 8,
    "images_per_epoch": 7,
    "val_loss_images": 5,
    "map_every": 2,
    "precision": "bf16-mixed",
    "channels_last": True,
    "compile": True,
    "seed": 5,
}


def name_of(regimen: Regimen) -> str:
    return fingerprint(to_plain(regimen.recipe))


def test_every_option_is_of_one_side() -> None:
    ours = set(Recipe.model_fields)
    assert ours == set(OTHER)
    assert not ours & set(Compute.model_fields)
    assert set(Regimen.model_fields) - ours == {"enabled", "repeats", "compute", "trained_in"}
    assert set(to_plain(Regimen().recipe)) == ours


def test_another_compute_is_the_same_training() -> None:
    assert name_of(Regimen(compute=ELSEWHERE)) == name_of(Regimen())
    assert name_of(Regimen(enabled=False, repeats="x", trained_in="out")) == name_of(Regimen())


@pytest.mark.parametrize("option", OTHER)
def test_another_recipe_is_another_training(option: str) -> None:
    assert name_of(Regimen.model_validate({option: OTHER[option]})) != name_of(Regimen())


def test_a_checkpoint_is_found_again_with_another_compute_and_not_with_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coco = tiny_corpus(tmp_path / "images")
    asked: list[str] = []

    class Enough(Exception):  # noqa: N818 - no error: what is asked for is known
        pass

    def resume(_folder: Path, identity: str) -> None:
        asked.append(identity)
        raise Enough

    monkeypatch.setattr("blood_kedro.library.training.resume.resume_point", resume)
    for changes in ({}, {"compute": {"workers": 2, "accelerator": "cpu"}}, {"seed": 9}):
        with pytest.raises(Enough):
            fitting.fit(tiny_regimen(**changes), coco, coco, tmp_path / "images", tmp_path / "work")
    assert asked[0] == asked[1] != asked[2]


def test_options_of_both_sides_can_be_set_at_the_command_line() -> None:
    changed = train_pack.changed(
        Regimen(name="x"), {"workers": 8, "compute.devices": 2, "optimizer.lr": 0.1, "epochs": 3}
    )
    assert (changed.name, changed.compute.workers, changed.compute.devices) == ("x", 8, 2)
    assert (changed.recipe.optimizer.lr, changed.recipe.epochs) == (0.1, 3)
