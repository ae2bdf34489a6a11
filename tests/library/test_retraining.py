"""Retraining on corrections: a small random network learns what was said, is judged on other groups, and says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.model_bundle import load_bundle, load_config, save_bundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.compare import compare
from blood_kedro.library.corrections.examples import examples_of, of_use
from blood_kedro.library.corrections.forgetting import never_learnt
from blood_kedro.library.corrections.head import (
    Calibration,
    Head,
    calibration_of,
    features_of,
    fit_head,
    head_of,
    log_probabilities_by,
)
from blood_kedro.library.corrections.journal import Action, Correction
from blood_kedro.library.corrections.options import RetrainOptions
from blood_kedro.library.corrections.retrain import retrain
from blood_kedro.library.corrections.store import Corrections
from blood_kedro.library.shipped.bundle import bundle_of, load_shipped, models_folder
from blood_kedro.library.shipped.classifiers import TypeClassifier, classifier_of
from blood_kedro.library.shipped.load import classifiers, load
from blood_kedro.library.shipped.type_cells import TypedCrops
from blood_kedro.library.shipped.type_network import CellTypeNet
from blood_kedro.library.shipped.type_options import TypeRecipe, View
from blood_kedro.library.training.first_weights import FirstWeights

CLASSES = ("lymphocyte", "monocyte", "eosinophil")
COLOURS = {"lymphocyte": (90, 60, 160), "monocyte": (150, 150, 190), "eosinophil": (220, 110, 90)}
SIDE, CELL_PX = 120, 20.0
OPTIONS = RetrainOptions(folds=3, resamples=50, hold=0.01)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one model: a network that has learnt nothing."""
    torch.manual_seed(0)
    recipe = TypeRecipe(view=View(side_px=32, cell_px=16, margin_px=0), first_weights=FirstWeights())
    config = {
        "model": "white_cells",
        "classes": list(CLASSES),
        "recipe": recipe.model_dump(mode="json"),
        "views": 2,
        "temperature": 1.0,
        "threshold": 0.5,
        "learnt_from": ["pbc/a"],
    }
    folder = tmp_path_factory.mktemp("models")
    save_bundle(bundle_of(CellTypeNet(len(CLASSES)), config), folder / "white_cells")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Corrections:
    """Eight pictures, three corrected cells each; tests only read it."""
    return correct(tmp_path_factory.mktemp("corrections"), 8)


@pytest.fixture(scope="module")
def classifier(models: Path) -> TypeClassifier:
    return classifier_of(load_shipped("white_cells", models))


def correct(folder: Path, pictures: int, *, types: tuple[str, ...] = CLASSES, smear: str | None = None) -> Corrections:
    """A folder of corrections: in each picture one disc of each type in its colour, at random places of a grid."""
    rng, store = np.random.default_rng(0), Corrections(folder)
    for number in range(pictures):
        blocks = rng.integers(120, 256, (SIDE // 4, SIDE // 4, 1), np.uint8)  # no field looks like another one
        pixels = blocks.repeat(4, axis=0).repeat(4, axis=1).repeat(3, axis=2)
        corrections = []
        for k, place in enumerate(rng.permutation(9)[: len(types)]):
            x, y = int(place % 3) * 40 + 20, int(place // 3) * 40 + 20
            cv2.circle(pixels, (x, y), 11, COLOURS.get(types[k], (0, 0, 0)), -1)
            action: Action = "changed" if number % 2 else "confirmed"
            box = (x - 11.0, y - 11.0, x + 11.0, y + 11.0)
            corrections.append(Correction(box, CELL_PX, action, "wbc", "other", 0.3, types[k]))
        store.save(store.add_field(pixels, f"field {number}", smear), corrections, by="ann")
    return store


def test_a_network_learns_what_was_said_and_is_judged_on_other_groups(
    tmp_path: Path, models: Path, store: Corrections
) -> None:
    made = retrain(store.folder, "white_cells", tmp_path / "out", OPTIONS, models=models, command="by hand")
    judged = made.corrections
    assert (judged.cells, judged.groups) == (24, 8)
    assert judged.before["accuracy"] < 0.6
    assert judged.after["accuracy"] > 0.75
    assert judged.verdict() == "better"
    assert made.cells_by_type == dict.fromkeys(sorted(CLASSES), 8)
    assert made.originals == {}
    assert "accuracy" in made.text()

    new = load_bundle(tmp_path / "out" / "white_cells")
    old = load_bundle(models / "white_cells")
    changed = {name for name, value in new.weights.items() if not torch.equal(value, old.weights[name])}
    assert changed == {"body.classifier.weight", "body.classifier.bias"}
    said = new.config["retrained"]
    assert said["parent"]["weights_sha256"] == load_config(models / "white_cells")["weights_sha256"]
    assert said["judged"]["corrections"]["cells"] == 24
    assert new.config["command"] == "by hand"
    assert len(new.config["learnt_from"]) == 1 + 8

    cells = store.cells()
    rgb = cv2.imread(cells["file"][0])[..., ::-1].copy()
    boxes = cells.loc[cells["file"] == cells["file"][0], ["x_min_px", "y_min_px", "x_max_px", "y_max_px"]]
    named = load("white_cells", tmp_path / "out").predict(rgb, boxes.to_numpy(float), CELL_PX)
    assert named[[f"p_{name}" for name in CLASSES]].to_numpy().argmax(axis=1).tolist() == [0, 1, 2]


def test_the_same_corrections_give_the_same_model(tmp_path: Path, models: Path, store: Corrections) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        retrain(store.folder, "white_cells", folder, OPTIONS, models=models)
    first, second = (load_config(folder / "white_cells")["weights_sha256"] for folder in folders)
    assert first == second


def test_what_a_model_learnt_from_before_does_not_judge_it(tmp_path: Path, models: Path) -> None:
    store, options = correct(tmp_path / "corrections", 4), OPTIONS.model_copy(update={"least_cells": 12})
    retrain(store.folder, "white_cells", tmp_path / "first", options, models=models)
    for k in range(2):
        pixels = np.random.default_rng(k).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        new = Correction((20.0, 20.0, 45.0, 45.0), CELL_PX, "changed", type_after=CLASSES[k])
        store.save(store.add_field(pixels, "new"), [new], by="ann")
    made = retrain(store.folder, "white_cells", tmp_path / "second", options, models=tmp_path / "first")
    assert made.corrections.cells == 2
    with pytest.raises(ConfigurationError, match="none is left to judge by"):
        retrain(store.folder, "white_cells", tmp_path / "third", options, models=tmp_path / "second")
    assert any("12 cells are of pictures that the model learnt from before" in note for note in made.notes)


@pytest.mark.parametrize(
    ("pictures", "types", "smear", "reason"),
    [
        (2, CLASSES, None, "too few"),
        (2, CLASSES, "one slide", "one picture or one type"),
        (4, ("monocyte",), None, "one picture or one type"),
        (4, ("wbc", "rbc", "teardrop"), None, "too few"),  # nothing that this model can learn
    ],
)
def test_too_little_to_learn_from_is_refused(
    tmp_path: Path, models: Path, pictures: int, types: tuple[str, ...], smear: str | None, reason: str
) -> None:
    store = correct(tmp_path / "corrections", pictures, types=types, smear=smear)
    options = OPTIONS.model_copy(update={"least_cells": 7 if reason == "too few" else 4})
    with pytest.raises(ConfigurationError, match=reason):
        retrain(store.folder, "white_cells", tmp_path / "out", options, models=models)
    assert not (tmp_path / "out").exists()


def test_a_retrained_classifier_takes_the_place_of_the_shipped_one_alone(tmp_path: Path, models: Path) -> None:
    named = classifiers(models)
    assert named.white_cells.classes == CLASSES
    assert "teardrop" in named.red_cell_shapes.classes
    with pytest.raises(ConfigurationError, match="holds no classifier"):
        classifiers(tmp_path)


def test_the_model_that_ships_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must not replace"):
        retrain(tmp_path, "white_cells", models_folder())


def test_features_and_head_give_what_the_whole_network_gives(classifier: TypeClassifier) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    boxes = np.array([[10, 10, 30, 30], [50, 40, 75, 70]], float)
    features = features_of(classifier, classifier.crops(rgb, boxes, CELL_PX))
    logs = log_probabilities_by(head_of(classifier), features, calibration_of(classifier))
    whole = classifier.predict(rgb, boxes, CELL_PX)[[f"p_{name}" for name in CLASSES]].to_numpy()
    np.testing.assert_allclose(np.exp(logs), whole, atol=1e-5)
    assert len(features_of(classifier, classifier.crops(rgb, boxes[:0], CELL_PX))) == 0


def test_a_head_moves_the_less_the_dearer_it_is() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = (np.eye(3, 8)[labels] + 0.1 * rng.normal(size=(30, 8)))[:, None].astype(np.float32)
    start, plain = Head(np.zeros((3, 8)), np.zeros(3)), Calibration(1.0, None)
    meant = np.eye(3, dtype=bool)[labels]
    heads = [fit_head(features, meant, start, plain, hold) for hold in (0.01, 1.0, 1e6)]
    moved = [float(np.abs(head.weight).max()) for head in heads]
    assert moved[0] > moved[1] > 100 * moved[2]
    assert (log_probabilities_by(heads[0], features, plain).argmax(axis=1) == labels).all()


def test_a_label_that_allows_two_classes_moves_nothing_between_them() -> None:
    features = np.ones((4, 1, 2), np.float32)
    meant = np.array([[True, True, False]] * 4)
    head = fit_head(features, meant, Head(np.zeros((3, 2)), np.zeros(3)), Calibration(1.0, None), 1.0)
    assert head.bias[0] == pytest.approx(head.bias[1]) == pytest.approx(-head.bias[2] / 2)
    assert head.bias[0] > 0.1


def of(classes: tuple[str, ...], threshold: float) -> Any:
    """What a comparison wants to know of a classifier."""
    return SimpleNamespace(classes=classes, threshold=threshold)


def test_a_comparison_of_known_answers() -> None:
    types = ["lymphocyte", "monocyte", "eosinophil", "monocyte"] * 3
    groups = [f"g{k // 2}" for k in range(12)]
    sure = np.log(np.full((12, 3), 0.05) + 0.85 * np.eye(3)[[CLASSES.index(each) for each in types]])
    always_first = np.log(np.tile([0.6, 0.2, 0.2], (12, 1)))
    made = compare(types, groups, always_first, sure, of(CLASSES, 0.7), RetrainOptions(resamples=200))
    assert (made.cells, made.groups) == (12, 6)
    assert made.before["accuracy"] == pytest.approx(0.25)
    assert made.after["accuracy"] == 1
    assert made.difference["accuracy"][0] == pytest.approx(0.75)
    assert made.before["f1"] == pytest.approx(0.4 / 3)  # precision 1/4, recall 1; nothing of the others
    assert made.verdict() == "better"
    assert (made.answered_before["share"], made.answered_after) == (0, {"share": 1.0, "accuracy": 1.0})
    back = compare(types, groups, sure, always_first, of(CLASSES, 0.7), RetrainOptions(resamples=200))
    assert back.verdict() == "worse"
    assert (
        compare(types, groups, sure, sure, of(CLASSES, 0.7), RetrainOptions(resamples=200)).verdict()
        == "cannot be told apart"
    )


def test_kinds_are_judged_as_the_whole() -> None:
    classes = ("band_neutrophil", "segmented_neutrophil", "monocyte")
    logs = np.log([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8]])
    made = compare(["neutrophil", "monocyte"], ["a", "b"], logs, logs, of(classes, 0.5), RetrainOptions(resamples=0))
    assert made.before["accuracy"] == 1  # .6 of it is a neutrophil of either kind


def test_types_that_say_nothing_to_a_model_are_not_of_use() -> None:
    classes = ("band_neutrophil", "segmented_neutrophil", "immature_granulocyte", "platelet")
    useful = ["band_neutrophil", "neutrophil", "myelocyte", "platelet"]
    assert [name for name in [*useful, "wbc", "rbc", "teardrop", None] if of_use(name, classes)] == useful


def test_a_picture_that_is_gone_is_a_reject(tmp_path: Path) -> None:
    store = correct(tmp_path, 2)
    cells = store.cells()
    Path(cells["file"][0]).write_bytes(b"cut")
    rejects = RejectLog("corrections")
    assert len(examples_of(cells, CLASSES, rejects)) == 3
    assert rejects.count("image", "dropped") == 1


def test_only_groups_that_a_model_has_never_seen_show_what_it_forgets() -> None:
    import pandas as pd

    table = pd.DataFrame({"image_id": ["pbc/a", "pbc/b", "pbc/c"], "group_id": ["g1", "g1", "g2"]})
    cells = TypedCrops(np.zeros((3, 1, 1, 3), np.uint8), table)
    assert never_learnt(cells, {"pbc/a", "corrections/x"}).tolist() == [False, False, True]
