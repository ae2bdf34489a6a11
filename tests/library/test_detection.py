"""Training: initialisations that do not pretend, data that depends on seed and epoch alone, resume to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.detection import initialization as initialization_module
from blood_kedro.library.detection.data import DetectionData, EpochSampler, channel_statistics
from blood_kedro.library.detection.fit import Fit, fit
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.network import IMAGENET_MEAN, IMAGENET_STD, build_network
from blood_kedro.library.detection.options import CopyPaste, Initialization, Network, Optimizer, Regimen
from blood_kedro.library.detection.predict import load_detector, predict
from blood_kedro.library.detection.transforms import unsharp
from blood_kedro.library.smears.cutouts import simulated_cutouts

TINY = Network(
    backbone="resnet18_fpn", norm="group", input_px=64, anchor_sizes_px=(8, 16, 32, 64, 128), proposals_train=50,
    proposals_test=20, roi_samples=8, representation=16,
)  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """Eight images of 64 px with two cells each."""
    folder = tmp_path / "images"
    folder.mkdir()
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for n in range(1, 9):
        canvas = np.full((64, 64, 3), 220, np.uint8)
        for k, (x, y) in enumerate(((16, 16), (44, 40))):
            x, y = x + int(rng.integers(-4, 5)), y + int(rng.integers(-4, 5))
            cv2.circle(canvas, (x, y), 8, (90, 60, 120), -1)
            annotations.append(
                {"id": 2 * n + k, "image_id": n, "category_id": k + 1, "bbox": [x - 8, y - 8, 17, 17], "area": 289,
                 "iscrowd": 0, "label": "rbc"}
            )  # fmt: skip
        cv2.imwrite(str(folder / f"{n}.png"), canvas)
        images.append({"id": n, "file_name": f"{n}.png", "source": "synthetic", "image_id": str(n)})
    categories = [{"id": 1, "name": "normal_rbc"}, {"id": 2, "name": "spherocyte"}]
    return {"images": images, "annotations": annotations, "categories": categories}, folder


def regimen(**changes: Any) -> Regimen:
    return Regimen(name="tiny", network=TINY, batch_size=4, accelerator="cpu", **{"epochs": 2, "seed": 7, **changes})


def weights_equal(a: ModelBundle, b: ModelBundle) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def run(corpus: tuple[dict[str, Any], Path], work: Path, **changes: Any) -> Fit:
    coco, images = corpus
    return fit(regimen(**changes), coco, coco, images, work)


def test_history_has_the_four_losses_and_their_sum(corpus: Any, tmp_path: Path) -> None:
    trained = run(corpus, tmp_path / "work")
    assert [row["epoch"] for row in trained.history] == [1, 2]
    for row in trained.history:
        for stage in ("train", "val"):
            parts = [row[f"{stage}_loss_{name}"] for name in ("classifier", "box_reg", "objectness", "rpn_box_reg")]
            assert row[f"{stage}_loss"] == pytest.approx(sum(parts), rel=1e-5)
    assert trained.history[1]["train_loss"] < trained.history[0]["train_loss"]
    assert not (tmp_path / "work").exists()


def test_same_seed_same_weights_and_another_seed_others(corpus: Any, tmp_path: Path) -> None:
    first = run(corpus, tmp_path / "a", epochs=1, augmentation="paper_r2")
    torch.rand(17)  # whatever ran before must not matter
    assert weights_equal(first.bundle, run(corpus, tmp_path / "b", epochs=1, augmentation="paper_r2").bundle)
    assert not weights_equal(first.bundle, run(corpus, tmp_path / "c", epochs=1, seed=8).bundle)


def test_pasted_cells_take_part_in_training_and_are_recorded(corpus: Any, tmp_path: Path) -> None:
    coco, images = corpus
    pasting = CopyPaste(classes=("spherocyte",), per_image=2.0)
    cells = simulated_cutouts(["spherocyte"], 3, 6.0, seed=1)
    plain = run(corpus, tmp_path / "plain", epochs=1)
    pasted = fit(regimen(epochs=1, copy_paste=pasting), coco, coco, images, tmp_path / "pasted", cutouts=cells)
    assert pasted.bundle.config["cutouts"] == {"spherocyte (simulated)": 3}
    assert plain.bundle.config["cutouts"] == {}
    assert not weights_equal(plain.bundle, pasted.bundle)
    with pytest.raises(ConfigurationError, match="cannot be pasted"):
        fit(regimen(epochs=1, copy_paste=pasting), coco, coco, images, tmp_path / "none")


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_training_continues_and_ends_with_the_same_weights(corpus: Any, tmp_path: Path, workers: int) -> None:
    coco, images = corpus
    recipe = regimen(epochs=3, augmentation="paper_r2", workers=workers)
    whole = fit(recipe, coco, coco, images, tmp_path / "whole")

    def dies_in_the_second(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, coco, coco, images, tmp_path / "cut", on_epoch=dies_in_the_second)
    told: list[float] = []
    resumed = fit(recipe, coco, coco, images, tmp_path / "cut", on_epoch=lambda row: told.append(row["epoch"]))
    assert told == [1, 2, 3]  # the listener hears of the first epoch again, for the new run's curves
    assert weights_equal(whole.bundle, resumed.bundle)
    strip = ("seconds", "images_per_second")
    assert [{k: v for k, v in row.items() if k not in strip} for row in whole.history] == [
        {k: v for k, v in row.items() if k not in strip} for row in resumed.history
    ]


def test_checkpoint_of_another_recipe_is_not_continued(corpus: Any, tmp_path: Path) -> None:
    coco, images = corpus

    def dies(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(regimen(epochs=2), coco, coco, images, tmp_path / "w", on_epoch=dies)
    fresh = run(corpus, tmp_path / "fresh", epochs=2, seed=9)
    assert weights_equal(fresh.bundle, fit(regimen(epochs=2, seed=9), coco, coco, images, tmp_path / "w").bundle)


def test_predictions_are_the_same_after_saving_and_loading(corpus: Any, tmp_path: Path) -> None:
    coco, images = corpus
    trained = run(corpus, tmp_path / "w", epochs=1)
    save_bundle(trained.bundle, tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["classes"] == ["normal_rbc", "spherocyte"]
    before, _ = predict(trained.bundle, coco, images)
    after, speed = predict(load_bundle(tmp_path / "model"), coco, images)
    assert before == after
    assert speed > 0


def test_every_image_is_drawn_once_an_epoch_and_order_depends_on_seed_and_epoch() -> None:
    sampler = EpochSampler(range(10), seed=1, images_per_epoch=None)
    first = list(sampler)
    assert sorted(index for _, index in first) == list(range(10))
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert [i for _, i in sampler] != [i for _, i in first]
    assert len(EpochSampler(range(10), 1, 4)) == 4


def test_flip_moves_boxes_along(corpus: Any) -> None:
    coco, images = corpus
    data = DetectionData(coco, images, "paper_r2", seed=0)
    plain, target = data[0]
    flipped = next(
        data[(epoch, 0)] for epoch in range(20) if not torch.equal(data[(epoch, 0)][1]["boxes"], target["boxes"])
    )
    expected = target["boxes"].clone()
    expected[:, [0, 2]] = 64 - target["boxes"][:, [2, 0]]
    assert torch.equal(flipped[1]["boxes"], expected)
    assert plain.shape == (3, 64, 64)
    assert 0 <= float(plain.min()) < float(plain.max()) <= 1


def test_ignore_regions_are_no_targets(corpus: Any) -> None:
    coco, images = corpus
    crowd = {**coco, "annotations": [{**a, "iscrowd": int(a["category_id"] == 2)} for a in coco["annotations"]]}
    data = DetectionData(crowd, images, "paper_r2", 0)
    target = data[0][1]
    assert target["labels"].tolist() == [1]
    x, y, width, height = next(a["bbox"] for a in coco["annotations"] if a["category_id"] == 2)
    assert target["ignore"].tolist() == [[x, y, x + width, y + height]]
    for epoch in range(10):  # regions are mirrored along with boxes
        moved = data[(epoch, 0)][1]
        mirrored = not torch.equal(moved["boxes"], target["boxes"])
        expected = [[64 - x - width, y, 64 - x, y + height]] if mirrored else target["ignore"].tolist()
        assert moved["ignore"].tolist() == expected


def test_unsharp_mask_by_hand() -> None:
    flat = torch.full((3, 32, 32), 100, dtype=torch.uint8)
    assert torch.equal(unsharp(flat), flat)
    edge = flat.clone()
    edge[:, :, 16:] = 140
    sharp = unsharp(edge).int()
    assert sharp[0, 16, 15] < 100  # darker just before the edge, brighter just after
    assert sharp[0, 16, 16] > 140
    assert sharp[0, 16, 0] == 100


def test_normalisation_happens_exactly_once(corpus: Any) -> None:
    """What reaches the backbone has the statistics that one normalisation gives."""
    coco, images = corpus
    data = DetectionData(coco, images, "none", 0)
    mean, std = channel_statistics(data, seed=0)
    network = build_network(TINY, 3, mean, std).eval()
    batch, _ = network.transform([data[n][0] for n in range(8)])
    assert batch.tensors.mean(dim=(0, 2, 3)).abs().max() < 0.05
    assert (batch.tensors.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05
    assert network.transform.image_mean != list(IMAGENET_MEAN)


def test_missing_download_is_an_error_and_never_random(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = Network(backbone="resnet50_fpn", norm="frozen_batch")
    with pytest.raises(WeightsNotFoundError, match="cannot be downloaded") as caught:
        initialize(options, Initialization(kind="coco"), 25, IMAGENET_MEAN, IMAGENET_STD)
    assert "initialization.path" in caught.value.remedy
    assert "generated_smears" in caught.value.remedy


def test_coco_weights_from_a_file(tmp_path: Path) -> None:
    """The real loading code on weights of the COCO detector's shape: all but the class layers arrive."""
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    torch.manual_seed(3)
    coco = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    torch.save(coco.state_dict(), tmp_path / "coco.pth")
    options = Network(backbone="resnet50_fpn", norm="frozen_batch", input_px=64)
    start = Initialization(kind="coco", path=str(tmp_path / "coco.pth"))
    made = initialize(options, start, 25, IMAGENET_MEAN, IMAGENET_STD)
    own, given = made.network.state_dict(), coco.state_dict()
    name = "backbone.body.layer4.2.conv3.weight"
    assert torch.equal(own[name], given[name])
    assert torch.equal(own["roi_heads.box_head.fc6.weight"], given["roi_heads.box_head.fc6.weight"])
    assert own["roi_heads.box_predictor.cls_score.weight"].shape == (25, 1024)
    assert "coco.pth" in made.origin
    with pytest.raises(WeightsNotFoundError, match="does not exist"):
        initialize(options, Initialization(kind="coco", path="nowhere.pth"), 25, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(ConfigurationError, match="frozen"):
        initialize(Network(backbone="resnet50_fpn"), start, 25, IMAGENET_MEAN, IMAGENET_STD)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    source = build_network(TINY, 4)
    save_bundle(ModelBundle(dict(source.state_dict()), {}), tmp_path / "m")
    start = Initialization(kind="checkpoint", path=str(tmp_path / "m"))
    made = initialize(TINY, start, 9, IMAGENET_MEAN, IMAGENET_STD)  # other classes are fine
    assert torch.equal(made.network.backbone.body.conv1.weight, source.backbone.body.conv1.weight)
    other = TINY.model_copy(update={"representation": 32})
    with pytest.raises(ConfigurationError, match="do not fit"):
        initialize(other, start, 9, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(WeightsNotFoundError, match="no model bundle"):
        initialize(TINY, Initialization(kind="checkpoint", path="nowhere"), 9, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(WeightsNotFoundError, match="generated_smears"):
        initialize(TINY, Initialization(kind="generated_smears"), 9, IMAGENET_MEAN, IMAGENET_STD)


def test_paper_network_has_25_outputs_and_loads_as_detector() -> None:
    network = build_network(Network(), 25)
    assert network.roi_heads.box_predictor.cls_score.out_features == 25
    config = {
        "regimen": Regimen(name="x", network=TINY).model_dump(mode="json"), "classes": ["rbc"],
        "image_mean": [0.5] * 3, "image_std": [0.2] * 3,
    }  # fmt: skip
    bundle = ModelBundle(dict(build_network(TINY, 2).state_dict()), config)
    assert load_detector(bundle).training is False


def test_download_path_asks_torchvision_for_coco_v1(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def offline(self: Any, *args: object, **kwargs: object) -> None:
        asked.append((self.name, kwargs))
        raise OSError("no route")

    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    monkeypatch.setattr(FasterRCNN_ResNet50_FPN_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsNotFoundError, match="no route"):
        initialization_module._downloaded_coco()
    assert asked == [("COCO_V1", {"progress": True, "check_hash": True})]


def test_optimizer_steps_by_epoch() -> None:
    from blood_kedro.library.detection.task import DetectionTask

    task = DetectionTask(build_network(TINY, 2), Optimizer(lr=0.1, step_epochs=2, gamma=0.1), steps_per_epoch=3)
    configured = task.configure_optimizers()
    rates = []
    for _ in range(5 * 3):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    np.testing.assert_allclose(rates, [0.1] * 6 + [0.01] * 6 + [0.001] * 3)
