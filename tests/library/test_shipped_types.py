"""Shipped classifiers: one scale, one stain, a loss over allowed classes, training that resumes, honest abstention."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.taxonomy import UNSURE
from blood_kedro.library.shipped.augment import Jitter, recoloured
from blood_kedro.library.shipped.classifiers import classifier_of
from blood_kedro.library.shipped.eight_shapes import with_eight
from blood_kedro.library.shipped.stains import (
    STANDARD,
    Measure,
    cleared,
    in_standard_stain,
    measure,
    standard_change,
    stray_light,
    veiled,
)
from blood_kedro.library.shipped.train_and_judge_types import judge_left_out, log_shares, meant_classes, train_and_judge
from blood_kedro.library.shipped.type_cells import TypedCrops
from blood_kedro.library.shipped.type_figures import whole_types
from blood_kedro.library.shipped.type_network import CellTypeNet, first_network
from blood_kedro.library.shipped.type_options import TypeCompute, TypeModel, TypeRecipe, View
from blood_kedro.library.shipped.type_probabilities import softened
from blood_kedro.library.shipped.type_scores import best_temperature, figures, rolled_up, threshold_for
from blood_kedro.library.shipped.type_training import Lessons, allowed_loss, fit_types, rate, sampling_chances
from blood_kedro.library.shipped.views import cut_view, training_view
from blood_kedro.library.training.first_weights import FirstWeights

SMALL = View(side_px=32, cell_px=12, margin_px=8)
GROUND, RED, AZURE = (240, 235, 225), (215, 150, 150), (110, 60, 150)


def smear(side: int = 240, cell_px: int = 40) -> NDArray[np.uint8]:
    """Six red cells about a white one with a round nucleus in the middle."""
    rgb = np.full((side, side, 3), GROUND, np.uint8)
    for k in range(6):
        x, y = (round(side / 2 + 0.36 * side * f(k * np.pi / 3)) for f in (np.cos, np.sin))
        cv2.circle(rgb, (x, y), cell_px // 2, RED, -1)
    cv2.circle(rgb, (side // 2, side // 2), round(0.8 * cell_px), (225, 200, 215), -1)
    cv2.circle(rgb, (side // 2, side // 2), round(0.5 * cell_px), AZURE, -1)
    return rgb


def middle(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.array([[rgb.shape[1] / 2, rgb.shape[0] / 2]])


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.5])
def test_a_cell_has_one_size_in_the_view_at_every_magnification(zoom: float) -> None:
    rgb = smear(round(240 * zoom), round(40 * zoom))
    view = cut_view(rgb, tuple(middle(rgb)[0]), 40 * zoom, View(side_px=64, cell_px=20, margin_px=0))
    nucleus = view[..., 1] < 130
    y, x = np.nonzero(nucleus)
    assert np.sqrt(nucleus.sum() * 4 / np.pi) == pytest.approx(20, rel=0.08)
    assert (x.mean(), y.mean()) == pytest.approx((31.5, 31.5), abs=0.6)


def test_a_view_beyond_the_border_repeats_it() -> None:
    view = cut_view(smear(), (0, 0), 40, SMALL)
    assert view.shape == (32, 32, 3)
    assert (view == GROUND).all()


def test_training_views_follow_their_seed_and_keep_the_cell_in_the_middle() -> None:
    crop = cut_view(smear(), (120, 120), 40, SMALL, margin=True)
    recipe = TypeRecipe(view=SMALL, jitter=Jitter(grey_share=0))
    first, again, other = (training_view(crop, np.random.default_rng(seed), recipe) for seed in (0, 0, 1))
    assert first.shape == (32, 32, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    y, x = np.nonzero(first[..., 1] < np.percentile(first[..., 1], 12))
    assert (x.mean(), y.mean()) == pytest.approx((15.5, 15.5), abs=2)


def test_the_picture_of_another_laboratory_comes_out_alike() -> None:
    rgb = smear()
    darker = np.array([[1.3, 0.15, 0, 0.1], [0.1, 0.8, 0.1, 0.05], [0, 0.1, 1.5, 0.2]], np.float32)
    other = recoloured(rgb, darker)
    assert np.abs(other.astype(int) - rgb).mean() > 15
    alike = [in_standard_stain(each, each, middle(each), 40, "two_stains").astype(int) for each in (rgb, other)]
    for y, x in ((5, 5), (120, 120), (120, 148), (120, 206)):  # ground, nucleus, cytoplasm, red cell
        assert np.abs(alike[0][y, x] - alike[1][y, x]).max() <= 8


def test_scaling_by_red_cells_brings_ground_and_red_cells_to_the_standard() -> None:
    rgb = smear()
    found = measure(rgb, middle(rgb), 40)
    assert found is not None
    change = standard_change(found, "red_cells")
    again = measure(recoloured(rgb, change), middle(rgb), 40)
    assert again is not None
    expected = standard_change(again, "red_cells")
    np.testing.assert_allclose(expected, np.eye(3, 4), atol=0.12)


def test_stray_light_pales_deep_colours_but_leaves_ground_red_cells_and_nuclei() -> None:
    def patch(absorbed: NDArray[np.float64]) -> NDArray[np.uint8]:
        return np.full((32, 32, 3), np.round(255 * np.exp(-absorbed)), np.uint8)

    base = STANDARD.ground
    for kept in (base, base + STANDARD.red_cell, base + STANDARD.nucleus):
        assert np.abs(veiled(patch(kept), 0.4, 95)[16, 16].astype(int) - patch(kept)[16, 16]).max() <= 6
    granules = patch(base + 3 * STANDARD.red_cell)
    assert (veiled(granules, 0.4, 95)[16, 16].astype(int) - granules[16, 16])[1] > 10


def test_a_picture_without_red_cells_keeps_its_colours() -> None:
    rgb = np.full((100, 100, 3), GROUND, np.uint8)
    assert measure(rgb, middle(rgb), 40) is None
    for stain in ("two_stains", "clear_two_stains"):
        assert in_standard_stain(rgb, rgb, middle(rgb), 40, stain) is rgb


def test_stray_light_is_taken_out_again() -> None:
    clear = Measure(np.array([0.02, 0.03, 0.04]), np.array([0.20, 0.30, 0.18]), np.array([0.95, 1.5, 0.40]))
    assert stray_light(clear) < 0.03
    rgb = np.round(255 * np.exp(-clear.ground - np.array([0 * clear.red_cell, clear.red_cell, clear.nucleus])))
    ground = 255 * np.exp(-clear.ground)
    for veil in (0.1, 0.2, 0.3):
        misty = np.round((1 - veil) * rgb + veil * ground).astype(np.uint8)[None]
        seen = [-np.log(misty[0, k] / ground) for k in (1, 2)]
        picture, found = cleared(misty, Measure(clear.ground, *seen))
        assert stray_light(Measure(clear.ground, *seen)) == pytest.approx(veil, abs=0.03)
        assert np.abs(picture[0].astype(int) - rgb).max() <= 8
        np.testing.assert_allclose(found.nucleus, clear.nucleus, atol=0.3)


def test_the_loss_counts_all_that_a_label_allows() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5]]))
    one, two = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    assert float(allowed_loss(logits, one, 0)) == pytest.approx(-np.log(0.2))
    assert float(allowed_loss(logits, two, 0)) == pytest.approx(-np.log(0.5))
    assert float(allowed_loss(logits, two, 1)) == pytest.approx(-np.log([0.2, 0.3, 0.5]).mean())


def test_rare_classes_are_drawn_as_often_as_the_balance_says() -> None:
    meant = np.eye(2, dtype=bool)[[0] * 90 + [1] * 10]
    lessons = Lessons(np.zeros((100, 1, 1, 3), np.uint8), meant, np.arange(100))
    for balance, share in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        assert sampling_chances(lessons, balance)[90:].sum() == pytest.approx(share)


def test_the_rate_rises_and_falls() -> None:
    recipe = TypeRecipe(steps=100, warmup=0.1)
    rates = [rate(step, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] < 0.01


def test_a_training_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lessons = Lessons(
        rng.integers(0, 256, (12, 48, 48, 3), np.uint8), np.eye(3, dtype=bool)[[0, 1, 2] * 4], np.arange(12)
    )
    recipe = TypeRecipe(view=SMALL, first_weights=FirstWeights(), steps=4, batch=4)
    often = TypeCompute(checkpoint_every=2)
    whole = fit_types(lessons, recipe, tmp_path / "whole", compute=often)

    class Killed(Exception):  # noqa: N818
        pass

    def kill(row: dict[str, float]) -> None:
        if row["step"] == 4:
            raise Killed

    with pytest.raises(Killed):
        fit_types(lessons, recipe, tmp_path / "killed", on_step=kill, compute=often)
    resumed = fit_types(lessons, recipe, tmp_path / "killed", compute=often)
    assert [row["loss"] for row in resumed.history] == pytest.approx([row["loss"] for row in whole.history], rel=1e-5)
    for name, value in whole.weights.items():
        torch.testing.assert_close(resumed.weights[name], value, rtol=1e-3, atol=1e-4)
    assert not (tmp_path / "killed").exists()


def test_frozen_stages_stay_as_imagenet_left_them() -> None:
    network = first_network(3, TypeRecipe(frozen_stages=2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.rand(4, 3, 32, 32)).square().sum().backward()
    assert network.body.conv_stem.weight.grad is None
    assert torch.equal(
        network.state_dict()["body.blocks.1.0.bn1.running_mean"], before["body.blocks.1.0.bn1.running_mean"]
    )
    assert not torch.equal(
        network.state_dict()["body.blocks.3.0.bn1.running_mean"], before["body.blocks.3.0.bn1.running_mean"]
    )
    with torch.no_grad():
        assert network.eval()(torch.rand(2, 3, 32, 32)).abs().max() == 0


def test_temperature_finds_what_made_the_answers_too_sure() -> None:
    rng = np.random.default_rng(0)
    honest = softened(rng.normal(0, 1.5, (4000, 4)), 1.0)
    truth = np.array([rng.choice(4, p=np.exp(row)) for row in honest])
    assert best_temperature(softened(honest, 1 / 3), np.eye(4, dtype=bool)[truth]) == pytest.approx(3, rel=0.1)


def test_a_class_that_was_drawn_too_often_loses_what_it_gained() -> None:
    """Bayes: posteriors of a balanced draw times the true shares are posteriors of the true draw."""
    likelihood = np.array([[0.6, 0.2], [0.1, 0.5]])
    balanced = likelihood / likelihood.sum(axis=1, keepdims=True)
    true = likelihood * (0.9, 0.1)
    true /= true.sum(axis=1, keepdims=True)
    assert np.exp(softened(np.log(balanced), 1.0, np.log([0.9, 0.1]))) == pytest.approx(true)


def test_log_shares_are_those_of_the_draw() -> None:
    options = TypeModel(name="x", sources=("pbc",), classes=("band_neutrophil", "segmented_neutrophil", "monocyte"))
    meant = meant_classes(["monocyte"] * 90 + ["band_neutrophil"] * 8 + ["neutrophil"] * 4, options.classes)
    shares = log_shares(meant, options.model_copy(update={"common": "as_found"}))
    assert shares is not None
    expected = options.recipe.balance * np.log([10 / 102, 2 / 102, 90 / 102])  # a neutrophil may be of either kind
    assert shares.tolist() == pytest.approx(expected.tolist())
    assert log_shares(meant, options) is None


def test_a_class_without_training_cells_has_a_log_share() -> None:
    options = TypeModel(name="x", sources=("pbc",), classes=("basophil", "monocyte"), common="as_found")
    shares = log_shares(meant_classes(["monocyte"] * 50, options.classes), options)
    assert shares is not None
    assert shares.tolist() == pytest.approx([options.recipe.balance * np.log(0.01), 0])


def test_a_coarser_view_adds_up_its_classes_and_leaves_out_what_it_lacks() -> None:
    logs = np.log([[0.1, 0.3, 0.4, 0.2]])
    parents = {"band_neutrophil": "neutrophil", "segmented_neutrophil": "neutrophil"}
    classes = ["band_neutrophil", "segmented_neutrophil", "monocyte", "erythroblast"]
    view = rolled_up(logs, classes, ["monocyte", "neutrophil"], parents)
    np.testing.assert_allclose(np.exp(view), [[0.5, 0.5]])


def test_the_threshold_answers_as_many_as_the_accuracy_allows() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    assert threshold_for(right, confidence, 0.75) == 0.6
    assert threshold_for(right, confidence, 0.9) == 0.8
    assert threshold_for(~right, confidence, 0.9) > 0.9


def test_figures_of_perfect_answers() -> None:
    truth = np.array([0, 1, 2, 0, 1, 2])
    logs = np.log(np.eye(3)[truth] * 0.97 + 0.01)
    made = figures(truth, logs, np.array(list("aabbcc"), object), ["x", "y", "z"], resamples=20)
    assert made["accuracy"] == made["f1"] == 1
    assert made["intervals"]["accuracy"] == [1, 1]
    assert made["groups"] == 3
    assert made["answered"]["0.5"] == 1


def test_shapes_of_elmanna_2024_add_up_what_they_hold() -> None:
    table = pd.DataFrame({"p_ovalocyte": [0.3], "p_elliptocyte": [0.3], "p_burr_cell": [0.4], "p_macrocyte": [0.0]})
    seen = with_eight(table)
    assert seen["shape"].tolist() == ["ovalocyte"]
    assert seen["shape_sureness"].tolist() == pytest.approx([0.6])
    assert len(with_eight(table[:0])) == 0


def test_a_label_allows_its_own_kinds_and_what_it_is_a_kind_of() -> None:
    classes = ["band_neutrophil", "segmented_neutrophil", "immature_granulocyte"]
    made = meant_classes(["neutrophil", "band_neutrophil", "myelocyte"], classes)
    assert made.tolist() == [[True, True, False], [True, False, False], [False, False, True]]
    with pytest.raises(ConfigurationError, match="none of the classes"):
        meant_classes(["platelet"], classes)
    assert whole_types([*classes, "normal_rbc"]) == ["neutrophil", "immature_granulocyte", "normal_rbc"]


def typed_cells() -> TypedCrops:
    """Two laboratories that show blue and red cells, of two types; each picture is a group."""
    rng = np.random.default_rng(0)
    light = np.arange(80) % 2
    colour = np.where(light[:, None], (210, 70, 70), (70, 70, 210))[:, None, None]
    crops = np.clip(colour + rng.normal(0, 20, (80, 48, 48, 3)), 0, 255).astype(np.uint8)
    table = pd.DataFrame(
        {"laboratory": ["one"] * 40 + ["two"] * 40, "type": np.where(light, "monocyte", "segmented_neutrophil")}
    )
    names = [f"picture_{k}" for k in range(80)]
    return TypedCrops(crops, table.assign(cell_id=names, image_id=names, group_id=names, x_px=24.0, y_px=24.0))


def test_a_classifier_is_trained_judged_and_left_out_by_its_parameters(tmp_path: Path) -> None:
    options = TypeModel(
        name="white_cells",
        sources=("pbc",),
        classes=("band_neutrophil", "segmented_neutrophil", "monocyte"),
        five=("neutrophil", "monocyte"),
        views=1,
        resamples=5,
        # All stages frozen but the last: colours as far apart as these need no more.
        recipe=TypeRecipe(
            view=SMALL,
            steps=30,
            batch=16,
            ema=0.5,
            frozen_stages=6,
            dropout=0,
            drop_path=0,
            jitter=Jitter(grey_share=0, mixing=0.03),
        ),
    )
    judged = train_and_judge(typed_cells(), options, tmp_path / "all")
    assert judged.report["test"]["one"]["accuracy"] > 0.8
    assert set(judged.report["test"]) == {"one", "two"}
    assert set(judged.answers["part"]) == {"val", "test"}
    config = judged.bundle.config
    assert config["cells_by_type"].keys() == {"monocyte", "segmented_neutrophil"}
    assert not set(config["learnt_from"]) & set(judged.answers["image_id"])
    assert classifier_of(judged.bundle).classes == options.classes
    report, answers = judge_left_out(typed_cells(), options, "two", tmp_path / "left_out")
    assert report["cells"] == len(answers) == 40
    assert set(answers["answer"]) <= {"neutrophil", "monocyte"}


def test_of_a_slide_no_more_is_looked_at_than_the_field_around_a_cell(bundle: ModelBundle) -> None:
    field = np.tile(smear(), (4, 4, 1))
    slide = np.zeros((3000, 3000, 3), np.uint8)
    slide[1000:1960, 1000:1960] = field
    view = {**bundle.config["recipe"]["view"], "stain": "two_stains"}
    config = {**bundle.config, "recipe": {**bundle.config["recipe"], "view": view}}
    classifier = classifier_of(ModelBundle(bundle.weights, config))
    box = np.array([[450.0, 450, 510, 510]])
    expected = classifier.predict(field, box, 40)
    pd.testing.assert_frame_equal(classifier.predict(slide, box + 1000, 40), expected)


def test_a_foundation_model_is_probed_by_a_parameter(tmp_path: Path) -> None:
    """With a transformer of the same shape whose weights are random."""
    from safetensors.torch import save_file

    from blood_kedro.library.training.foundation import build_backbone

    torch.manual_seed(0)
    save_file(build_backbone().state_dict(), tmp_path / "model.safetensors")
    options = TypeModel(
        name="white_cells",
        sources=("pbc",),
        classes=("segmented_neutrophil", "monocyte"),
        views=1,
        resamples=5,
        recipe=TypeRecipe(view=SMALL, model="dinobloom_s", model_folder=str(tmp_path)),
    )
    few = typed_cells().where(np.arange(80) % 4 < 2)
    judged = train_and_judge(few, options, tmp_path / "work")
    assert judged.report["test"]["one"]["accuracy"] == 1  # red from blue
    found = classifier_of(judged.bundle).predict(smear(), np.array([[90.0, 90, 150, 150]]), 40)
    assert found["sureness"].between(0, 1).all()
    with pytest.raises(ValueError, match="model_folder"):
        TypeRecipe(model="dinobloom_s")


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    torch.manual_seed(0)
    network = CellTypeNet(3)
    recipe = TypeRecipe(view=SMALL)
    config = {
        "classes": ["eosinophil", "monocyte", "lymphocyte"],
        "recipe": recipe.model_dump(mode="json"),
        "views": 2,
        "temperature": 1.0,
        "threshold": 0.0,
        "model": "types",
    }
    weights = {n: v.half() if v.is_floating_point() else v for n, v in network.state_dict().items()}
    return ModelBundle(weights, config)


def test_a_classifier_answers_for_each_box_whatever_the_magnification(bundle: ModelBundle) -> None:
    classifier = classifier_of(bundle)
    small = smear()
    large = np.asarray(cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    boxes = np.array([[90, 90, 150, 150], [180, 95, 230, 145]], float)
    one, two = classifier.predict(small, boxes, 40), classifier.predict(large, 2 * boxes, 80)
    assert list(one.columns) == ["type", "sureness", "p_eosinophil", "p_monocyte", "p_lymphocyte"]
    np.testing.assert_allclose(one.filter(like="p_").sum(axis=1), 1)
    np.testing.assert_allclose(one.filter(like="p_"), two.filter(like="p_"), atol=0.05)
    assert len(classifier.predict(small, np.zeros((0, 4)), 40)) == 0


def test_an_unsure_answer_is_other(bundle: ModelBundle) -> None:
    sure = ModelBundle(bundle.weights, {**bundle.config, "threshold": 1.0})
    table = classifier_of(sure).predict(smear(), np.array([[90, 90, 150, 150]], float), 40)
    assert table["type"].tolist() == [UNSURE]


def test_bad_input_is_refused_with_its_reason(bundle: ModelBundle) -> None:
    classifier = classifier_of(bundle)
    for rgb, boxes, cell_px, said in (
        (smear().astype(float), np.zeros((1, 4)), 40, "8-bit RGB"),
        (smear(), np.zeros((1, 5)), 40, "xyxy"),
        (smear(), np.zeros((1, 4)), 0, "width of a red cell"),
    ):
        with pytest.raises(BadInputError, match=said):
            classifier.predict(rgb, boxes, cell_px)
