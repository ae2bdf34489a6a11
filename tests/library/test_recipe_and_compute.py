"""The recipe decides the result and names the training; the compute decides the time alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.model_bundle import load_config
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.counting.options import KindClassifier, KindRecipe
from blood_kedro.library.detection import fit as fitting
from blood_kedro.library.detection import train_pack
from blood_kedro.library.detection.options import Network, Optimizer, Recipe, Regimen
from blood_kedro.library.morphology.options import Classifier, ClassifierRecipe, Segmenter, SegmenterRecipe
from blood_kedro.library.overlap.options import OverlapClassifier, OverlapRecipe
from blood_kedro.library.shipped.cell_options import CellCompute, CellRecipe
from blood_kedro.library.shipped.type_options import TypeCompute, TypeRecipe
from blood_kedro.library.training.options import Compute, DetectorCompute, Training
from tests.conftest import PROJECT
from tests.fixtures.corpora import tiny_corpus, tiny_regimen

MODELS = PROJECT / "src" / "blood_kedro" / "models"
ELSEWHERE = DetectorCompute(workers=3, accelerator="gpu", devices=2, num_nodes=2, strategy="ddp")
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


def name_of(regimen: Any) -> str:
    return fingerprint(to_plain(regimen.recipe))


def test_every_option_is_of_one_side() -> None:
    ours = set(Recipe.model_fields)
    assert ours == set(OTHER)
    assert not ours & set(DetectorCompute.model_fields)
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


OF_CELLS: list[tuple[type[Any], type[Any], dict[str, Any]]] = [
    (Segmenter, SegmenterRecipe, {"source": "s"}),
    (Classifier, ClassifierRecipe, {"source": "s"}),
    (OverlapClassifier, OverlapRecipe, {"crops": "c"}),
    (KindClassifier, KindRecipe, {"cutouts": ("c",)}),
]


@pytest.mark.parametrize(("options", "recipe", "least"), OF_CELLS)
def test_networks_of_single_cells_are_named_by_their_recipe_alone(
    options: type[Any], recipe: type[Any], least: dict[str, Any]
) -> None:
    beside = set(options.model_fields) - set(recipe.model_fields)
    assert {"name", "enabled", "resamples", "compute"} <= beside <= {"name", "enabled", "resamples", "compute", "runs"}
    usual = name_of(options(**least))
    elsewhere = options(**least, name="other", enabled=False, resamples=7, compute={"workers": 3, "accelerator": "gpu"})
    assert name_of(elsewhere) == usual
    assert isinstance(elsewhere.recipe, recipe)
    assert name_of(options(**least, seed=5)) != usual
    assert name_of(options(**least, training={"epochs": 3})) != usual


@pytest.mark.parametrize(
    ("recipe", "compute"), [(Training, Compute), (CellRecipe, CellCompute), (TypeRecipe, TypeCompute)]
)
def test_no_option_is_of_recipe_and_compute(recipe: type[Any], compute: type[Any]) -> None:
    assert not set(recipe.model_fields) & set(compute.model_fields)


@pytest.mark.parametrize("shipped", ["cells", "white_cells", "red_cell_shapes"])
def test_what_a_shipped_model_says_of_its_recipe_holds_nothing_of_the_compute(shipped: str) -> None:
    said = load_config(MODELS / shipped)["recipe"]
    assert set(said) <= set((CellRecipe if shipped == "cells" else TypeRecipe).model_fields)
