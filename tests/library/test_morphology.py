"""Segmentation and classification of single cells: measures by hand, splits, training, takeover of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from blood_kedro.library.core.crop_set import Crop, CropSet, write_crops
from blood_kedro.library.core.elmanna_2024 import EIGHT_SHAPES
from blood_kedro.library.core.errors import ConfigurationError, TrainingDivergedError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, save_bundle
from blood_kedro.library.evaluation.classification import (
    RunAnswers,
    abstention,
    classification_measures,
    expected_calibration_error,
    group_intervals,
    pixel_measures,
)
from blood_kedro.library.morphology import cross_validate
from blood_kedro.library.morphology.attention import attention_maps, chosen_cells
from blood_kedro.library.morphology.classes import in_view
from blood_kedro.library.morphology.cross_validate import train_variant
from blood_kedro.library.morphology.networks import (
    build_classifier,
    build_segmenter,
    first_weights,
    load_classifier,
    parameters_m,
)
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.morphology.segment import _intervals, complete_masks, predict_masks, train_segmenter
from blood_kedro.library.morphology.splits import runs, segmentation_split
from blood_kedro.library.morphology.stain import normalise
from blood_kedro.library.morphology.summary import compare, score_variant, smear_findings
from blood_kedro.library.training.crops import CropData, flips
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.losses import class_weights
from blood_kedro.library.training.options import Training
from blood_kedro.library.training.supervised import fit_supervised


def toy_cells(folder: Path, per_class: int = 12, slides: int = 6, side: int = 32) -> CropSet:
    """Discs, ovals and pairs of discs: three shapes that a small network tells apart at once."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5

    def cells() -> Any:
        for shape in ("rounded_rbc", "ovalocyte", "two_overlapping_cells"):
            for number in range(per_class):
                dx, dy = rng.uniform(-1, 1, 2)
                if shape == "two_overlapping_cells":
                    mask = (np.hypot(x - 6, y) < 7) | (np.hypot(x + 6, y) < 7)
                else:
                    mask = np.hypot((x - dx) / (0.6 if shape == "ovalocyte" else 1), y - dy) < 9
                rgb = np.where(mask[..., None], (180, 90, 110), (225, 220, 215)) + rng.integers(-8, 8, (side, side, 3))
                slide = f"slide_{number % slides + 1:03d}"
                yield Crop(
                    rgb.astype(np.uint8),
                    mask,
                    {
                        "cell_id": f"toy/{shape}_{number}",
                        "source": "toy",
                        "image_id": f"toy/{slide}/{number % 3}",
                        "group_id": f"toy/{slide}",
                        "slide": slide,
                        "scanner": f"scanner_{number % slides % 2 + 1}",
                        "label_raw": shape,
                        "label": "rbc",
                        "shape": shape,
                        "x_px": None,
                        "y_px": None,
                        "mask_origin": "simulated",
                    },
                )

    return write_crops(folder, cells(), side)


@pytest.fixture
def cells(tmp_path: Path) -> CropSet:
    return toy_cells(tmp_path / "cells")


def small(**changes: Any) -> Classifier:
    usual: dict[str, Any] = {
        "name": "small",
        "source": "toy",
        "model": "mobilenet_v3_small",
        "repeats": 1,
        "min_cells": 3,
        "resamples": 20,
        "test_share": 0.33,
        "training": Training(epochs=2, batch_size=8),
    }
    return Classifier(**{**usual, **changes})


def test_pixel_measures_by_hand() -> None:
    truth, found = np.zeros((1, 4, 4), bool), np.zeros((1, 4, 4), bool)
    truth[0, :2, :2] = True  # 4 pixels
    found[0, :2, 1:3] = True  # 4 pixels, 2 of them right
    got = pixel_measures(truth, found)
    assert got["sensitivity"] == got["ppv"] == got["f1"] == 0.5
    assert got["specificity"] == pytest.approx(10 / 12)
    assert got["fpr"] == pytest.approx(2 / 12)
    assert got["accuracy"] == 12 / 16
    assert got["iou"] == got["iou_per_cell"] == pytest.approx(2 / 6)
    assert pixel_measures(truth & False, found & False)["iou_per_cell"] == 1.0
    assert np.isnan(pixel_measures(truth & False, found & False)["iou"])


def test_classification_measures_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.eye(3)[[0, 0, 1, 1, 1, 1]] * 0.7 + 0.1
    got = classification_measures(truth, probabilities, ["a", "b", "c"])
    assert got["accuracy"] == pytest.approx(4 / 6)
    assert got["confusion"] == [[2, 1, 0], [0, 2, 0], [0, 1, 0]]
    b = got["per_class"]["b"]
    assert (b["sensitivity"], b["specificity"], b["ppv"], b["npv"]) == (1.0, 0.5, 0.5, 1.0)
    assert b["f1"] == pytest.approx(2 * 0.5 / 1.5)
    assert got["per_class"]["c"]["ppv"] == 0  # there and never claimed
    assert got["f1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert got["ece"] == pytest.approx(abs(0.8 - 4 / 6))
    assert expected_calibration_error(np.array([0, 1]), np.array([[1.0, 0], [0, 1.0]])) == 0
    assert abstention(truth, probabilities, [0.5, 1.0])[1] == pytest.approx(4 / 6)


def test_abstention_answers_the_surest_first() -> None:
    truth = np.zeros(4, np.int64)
    sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55]])
    assert abstention(truth, sure, [0.25, 0.5, 1.0]) == [1.0, 1.0, 0.5]


def test_interval_is_over_groups() -> None:
    truth, groups = np.array([0, 0, 1, 1] * 5), np.repeat(np.arange(10), 2).astype(object)
    right = truth.copy()
    interval = group_intervals([RunAnswers(truth, right, groups)], 2, unit="u", resamples=50, seed=0).limits
    assert interval["accuracy"] == [1.0, 1.0]
    wrong = truth.copy()
    wrong[:4] = 1 - wrong[:4]
    run = RunAnswers(truth, wrong, groups)
    low, high = group_intervals([run], 2, unit="u", resamples=200, seed=0).limits["accuracy"]
    assert low is not None
    assert low < 0.8 < high
    assert group_intervals([run], 2, unit="u", resamples=0, seed=0).limits["f1"] == [None, None]


def test_weights_of_classes_are_equation_1() -> None:
    weights = class_weights(torch.tensor([6.0, 3.0, 0.0], dtype=torch.float64), 9)
    assert weights.tolist() == [pytest.approx(9 / (6 * 3)), pytest.approx(9 / (3 * 3)), 0.0]


def test_views_of_the_same_cells(cells: CropSet) -> None:
    table, classes, left_out = in_view(cells.table, "elmanna_2024", 3)
    assert classes == [name for name in EIGHT_SHAPES if name in set(cells.table["shape"])]
    assert len(table) == 36
    assert left_out == {}
    odd = cells.table.copy()
    odd.loc[:1, "shape"] = ["borderline_ovalocyte", "angled_rbc"]
    table, classes, left_out = in_view(odd, "elmanna_2024", 3)
    assert left_out == {"": 1, "other": 1}  # a borderline cell has no place there, one angled cell is too few
    assert table["row"].tolist() == list(range(2, 36))
    with pytest.raises(ConfigurationError, match="fewer than two classes"):
        in_view(cells.table, "taxonomy", 3)


def test_no_slide_stands_on_two_sides(cells: CropSet) -> None:
    table, _, _ = in_view(cells.table, "elmanna_2024", 3)
    made = runs(table, small(repeats=3))
    assert [run.name for run in made] == ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2"]
    groups = table["group_id"].to_numpy()
    for run in made:
        parts = [set(groups[part]) for part in (run.train, run.val, run.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sorted(np.concatenate([run.train, run.val, run.test])) == list(range(len(table)))
        assert (run.test == made[0].test).all()  # one test set for all
    assert set(groups[made[0].train]) == set(groups[made[1].val])  # two folds change places
    assert len(runs(table, small(repeats=3, runs=2))) == 2
    by_cell = runs(table, small(split_by="cell"))[0]
    assert set(groups[by_cell.train]) & set(groups[by_cell.test])
    with pytest.raises(ConfigurationError, match="as many groups"):
        runs(table[table["slide"] == "slide_001"].reset_index(drop=True), small())


def test_each_scanner_is_left_out_in_turn(cells: CropSet) -> None:
    table, _, _ = in_view(cells.table, "elmanna_2024", 3)
    made = runs(table, small(split_by="scanner"))
    assert [run.name for run in made] == ["scanner_1", "scanner_2"]
    for run in made:
        assert set(table["scanner"].to_numpy()[run.test]) == {run.name}
        assert run.name not in set(table["scanner"].to_numpy()[np.concatenate([run.train, run.val])])
    with pytest.raises(ConfigurationError, match="several"):
        runs(table.assign(scanner=None), small(split_by="scanner"))


def test_segmentation_tests_on_named_groups(cells: CropSet) -> None:
    run = segmentation_split(cells.table, Segmenter(source="toy", test_groups=("toy/slide_001",)))
    assert set(cells.table["slide"].to_numpy()[run.test]) == {"slide_001"}
    images = cells.table["image_id"].to_numpy()
    assert not set(images[run.train]) & set(images[run.val])
    with pytest.raises(ConfigurationError, match="not there"):
        segmentation_split(cells.table, Segmenter(source="toy", test_groups=("nobody",)))


@pytest.mark.parametrize(
    ("model", "millions"),
    [("efficientnet_b0", 4.018), ("mobilenet_v3_small", 0.932), ("mobilenet_v3_large", 2.980), ("densenet121", 6.962)],
)
def test_networks_have_the_published_sizes(model: str, millions: float) -> None:
    """Table 5, as far as timm's models are Keras's (docs/facts/versions.md#sizes-of-timms-networks)."""
    network = build_classifier(model, 8)
    assert parameters_m(network) == pytest.approx(millions, abs=0.002)
    assert network.eval()(torch.rand(2, 3, 80, 80)).shape == (2, 8)


def test_missing_weights_are_an_error_and_never_random(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    network = build_classifier("mobilenet_v3_small", 3)

    def offline(name: str, **options: Any) -> None:
        assert (name, options) == ("mobilenetv3_small_100", {"pretrained": True})
        raise OSError("no route")

    monkeypatch.setattr(timm, "create_model", offline)
    for weights, words in (
        (FirstWeights(kind="imagenet"), "cannot be downloaded"),
        (FirstWeights(kind="imagenet", path="nowhere.pth"), "does not exist"),
        (FirstWeights(kind="checkpoint", path="nowhere"), "no model folder"),
    ):
        with pytest.raises(WeightsNotFoundError, match=words):
            first_weights(network, "mobilenet_v3_small", weights)
    with pytest.raises(ValueError, match="must name a model folder"):
        FirstWeights(kind="checkpoint")
    with pytest.raises(ConfigurationError, match="no such encoder"):
        build_segmenter("resnet17", FirstWeights())


def test_imagenet_weights_of_a_file_reach_all_but_the_last_layer(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(1)
    given = timm.create_model("mobilenetv3_small_100", num_classes=1000).state_dict()
    torch.save(given, tmp_path / "weights.pth")
    network = build_classifier("mobilenet_v3_small", 3)
    origin = first_weights(
        network, "mobilenet_v3_small", FirstWeights(kind="imagenet", path=str(tmp_path / "weights.pth"))
    )
    assert torch.equal(network.state_dict()["body.conv_stem.weight"], given["conv_stem.weight"])
    assert "weights.pth" in origin
    with pytest.raises(ConfigurationError, match="do not fit"):
        first_weights(
            build_classifier("efficientnet_b0", 3),
            "efficientnet_b0",
            FirstWeights(kind="imagenet", path=str(tmp_path / "weights.pth")),
        )
    save_bundle(ModelBundle(network.state_dict(), {}), tmp_path / "model")
    other = build_classifier("mobilenet_v3_small", 5)  # other classes, the same body
    assert "checkpoint model" in first_weights(
        other, "x", FirstWeights(kind="checkpoint", path=str(tmp_path / "model"))
    )


def test_augmentation_turns_mask_and_crop_alike_and_depends_on_epoch_and_cell(cells: CropSet) -> None:
    rows = np.arange(len(cells))
    data = CropData(cells.crops, rows, cells.masks, 3, flips(36))
    plain = CropData(cells.crops, rows, cells.masks, 3)
    for epoch in range(5):
        image, mask = data[(epoch, 14)]
        dark = image[1] < 0.6
        assert (dark == (mask[0] > 0.5)).float().mean() > 0.95
        assert torch.equal(image, data[(epoch, 14)][0])
        assert image.min() > 0.2  # nothing black turns in
    assert not torch.equal(data[(0, 14)][0], data[(1, 14)][0])
    assert torch.equal(data[14][0], plain[14][0])
    hidden = CropData(cells.crops, rows, np.zeros(len(cells), np.int64), 3, shown=cells.masks)
    image, label = hidden[0]
    assert (image[:, ~torch.from_numpy(np.array(cells.masks[0]))] == 0).all()
    assert label == 0


def test_unet_learns_discs_and_fills_in_masks_that_are_missing(tmp_path: Path) -> None:
    cells = toy_cells(tmp_path / "cells", per_class=36)
    options = Segmenter(
        name="unet",
        source="toy",
        encoder="resnet18",
        resamples=20,
        val_share=0.2,
        test_share=0.33,
        training=Training(epochs=10, batch_size=8, lr=2e-3),
    )
    made = train_segmenter(cells, options, tmp_path / "work")
    assert made.metrics["iou"] > 0.8
    low, high = made.metrics["interval_95"]["iou"]
    assert low <= made.metrics["iou"] <= high
    assert not (tmp_path / "work").exists()
    groups = cells.table["group_id"].to_numpy()
    assert sorted(set(groups[made.test])) == made.metrics["test_groups"]
    blind = CropSet(cells.table.assign(has_mask=False, mask_origin=None), cells.crops, np.zeros_like(cells.masks))
    filled = complete_masks(made.model, blind)
    assert pixel_measures(np.asarray(cells.masks), filled)["iou"] > 0.8
    assert complete_masks(None, blind).all()  # no outline at all: the whole crop is shown
    assert len(predict_masks(build_segmenter("resnet18", FirstWeights())[0], cells.crops, np.zeros(0, np.int64))) == 0
    with pytest.raises(ConfigurationError, match="too few cells with masks"):
        train_segmenter(blind, options, tmp_path / "w")


def test_variant_is_trained_scored_and_compared(cells: CropSet, tmp_path: Path) -> None:
    options = small(training=Training(epochs=4, batch_size=8, lr=2e-3), loss="class_weighted")
    told: list[str] = []
    made = train_variant(cells, None, options, tmp_path / "w", lambda _, facts: told.append(facts["run"]))
    assert told == ["1_1", "1_2"]
    assert not (tmp_path / "w").exists()
    p = [f"p_{name}" for name in made.facts["classes"]]
    np.testing.assert_allclose(made.predictions[p].sum(axis=1), 1, atol=1e-5)
    assert made.facts["parameters_m"] == pytest.approx(0.93, abs=0.01)
    assert made.facts["size_mb"] > 3
    assert made.history.groupby("run").size().to_dict() == {"1_1": 4, "1_2": 4}
    score = score_variant(made.predictions, made.facts, 20, 0)
    assert set(score["runs"]) == {"1_1", "1_2"}
    assert score["accuracy"] == pytest.approx(np.mean([run["accuracy"] for run in score["runs"].values()]))
    low, high = score["interval_95"]["accuracy"]
    assert low <= score["accuracy"] <= high
    assert set(score["per_slide"]) == set(made.predictions["slide"])
    table = compare({"small": score, "again": score}, {"small": made.facts, "again": made.facts}, "small")
    assert table["p_accuracy"].isna()[0]  # the reference is not compared with itself
    assert table["p_note"][1] == "2 runs, fewer than 5"
    runs = {name: {**run, "test_set": "another"} for name, run in score["runs"].items()}
    other = compare(
        {"small": score, "again": {**score, "runs": runs}}, {"small": made.facts, "again": made.facts}, "small"
    )
    assert other["p_note"][1] == "runs are tested on different cells"
    assert table.loc[0, "test_cells"] == score["test_cells"]
    chosen = chosen_cells(made.predictions, made.facts["classes"], made.model.config["run"])
    seen, maps = attention_maps(made.model, cells, None, chosen)
    assert seen.shape == (len(chosen), 32, 32, 3)
    assert maps.shape == (len(chosen), 32, 32)
    assert 0 <= maps.min() <= maps.max() <= 1
    network = load_classifier(made.model)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3)


def test_killed_variant_does_not_train_finished_runs_again(
    cells: CropSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_variant(cells, None, small(), tmp_path / "whole")

    def dies(number: int, _: dict[str, Any]) -> None:
        if number == 0:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        train_variant(cells, None, small(), tmp_path / "cut", dies)
    trained = []
    original = cross_validate._train_run

    def watched(run: Any, *rest: Any) -> None:
        trained.append(run.name)
        original(run, *rest)

    monkeypatch.setattr(cross_validate, "_train_run", watched)
    resumed = train_variant(cells, None, small(), tmp_path / "cut")
    assert trained == ["1_2"]
    pd.testing.assert_frame_equal(resumed.predictions, whole.predictions)


def test_a_foundation_model_is_probed_like_any_other_variant(cells: CropSet, tmp_path: Path) -> None:
    """With a transformer of the same shape whose weights are random."""
    from safetensors.torch import save_file

    from blood_kedro.library.training.foundation import build_backbone

    torch.manual_seed(0)
    (tmp_path / "reddino").mkdir()
    save_file(build_backbone().state_dict(), tmp_path / "reddino/model.safetensors")
    weights = {"kind": "foundation", "path": str(tmp_path / "reddino")}
    options = small(model="reddino_small", first_weights=weights, runs=1)
    made = train_variant(cells, None, options, tmp_path / "work")
    chances = made.predictions[[c for c in made.predictions if c.startswith("p_")]].to_numpy()
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert made.facts["weights_origin"] == "reddino_small of reddino, linear probe"
    assert made.facts["parameters_m"] == pytest.approx(22, abs=1)
    chosen = chosen_cells(made.predictions, made.facts["classes"], made.model.config["run"], 1)
    _, maps = attention_maps(made.model, cells, None, chosen)
    assert np.isfinite(maps).all()
    missing = small(model="dinobloom_s", first_weights={**weights, "path": str(tmp_path / "nowhere")}, runs=1)
    with pytest.raises(WeightsNotFoundError, match="nothing is downloaded"):
        train_variant(cells, None, missing, tmp_path / "other")
    with pytest.raises(ValidationError, match="kind: foundation"):
        small(model="reddino_small")


def test_training_keeps_the_best_epoch_and_says_when_the_loss_is_no_number(cells: CropSet, tmp_path: Path) -> None:
    data = CropData(cells.crops, np.arange(36), np.repeat(np.arange(3), 12), 0)
    network = build_classifier("mobilenet_v3_small", 3)
    settings = Training(epochs=3, batch_size=36)
    done = fit_supervised(
        network, torch.nn.CrossEntropyLoss(), data, data, settings, seed=0, identity="x", work_folder=tmp_path / "w"
    )
    assert len(done.history) == 3
    assert done.history[done.best_epoch - 1]["val_loss"] == min(row["val_loss"] for row in done.history)

    def broken(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return logits.sum() * float("nan")

    with pytest.raises(TrainingDivergedError, match="no number"):
        fit_supervised(network, broken, data, data, settings, seed=0, identity="y", work_folder=tmp_path / "w")


@pytest.mark.parametrize("method", ["reinhard", "macenko"])
def test_stains_come_together_and_shapes_stay(cells: CropSet, method: str) -> None:
    """One slide is stained bluer; afterwards the slides are alike, and dark pixels are where they were."""
    bluer = np.array(cells.crops).astype(np.float64)
    other = (cells.table["slide"] == "slide_002").to_numpy()
    bluer[other] = bluer[other] * (0.8, 0.9, 1.05)
    crops = np.clip(bluer, 0, 255).astype(np.uint8)
    made = normalise(crops, cells.table, method)
    masks = np.asarray(cells.masks)

    def apart(images: np.ndarray) -> float:
        colours = [images[rows][masks[rows]].mean(axis=0) for rows in (other, ~other)]
        return float(np.abs(colours[0] - colours[1]).max())

    assert apart(made) < 0.5 * apart(crops)
    green = made[..., 1].astype(float)
    assert green[masks].mean() < green[~masks].mean() - 20
    assert normalise(crops, cells.table, "none") is crops


def test_findings_of_a_smear_by_hand() -> None:
    classes = ["ovalocyte", "rounded_rbc", "two_overlapping_cells", "teardrop"]
    found = ["ovalocyte"] * 2 + ["rounded_rbc"] * 7 + ["teardrop"] + ["two_overlapping_cells"] * 3
    table = pd.DataFrame(
        {"run": "1", "cell_id": [str(k) for k in range(13)], "slide": "s", "group_id": "s", "class": "rounded_rbc"}
    )
    for name in classes:
        table[f"p_{name}"] = [float(name == f) for f in found]
    row = smear_findings(table, classes).iloc[0]
    assert (row["ovalocyte_percent"], row["teardrop_percent"], row["burr_cell_percent"]) == (20.0, 10.0, 0.0)
    assert row["overlap_ratio"] == pytest.approx(0.3)
    assert row["finding"] == (
        "ovalocytes 20.0% (more than 5%), teardrop cells 10.0%, no fragmented cells, no burr cells; "
        "0.30 overlapping groups per single cell: not fit for counting"
    )


def test_masks_are_resampled_by_slide_and_by_image_where_there_is_one_slide() -> None:
    truth = np.ones((8, 4, 4), np.bool_)
    found = truth.copy()
    found[:4, :2] = False  # half of each cell of the first slide is missed
    slides = pd.DataFrame({"group_id": ["a"] * 4 + ["b"] * 4, "image_id": [f"i{k}" for k in range(8)]})
    two = _intervals(truth, found, slides, 200, 0)
    assert (two.basis["groups"], two.basis["few_groups"]) == (2, True)
    assert two.limits["iou"][0] <= 0.5
    one = _intervals(truth, found, slides.assign(group_id="a"), 200, 0)
    assert one.basis["groups"] == 8
    assert "one slide" in one.basis["unit"]
    assert one.limits["iou"][0] > 0.5
