"""Training: initialisations that do not pretend, data that depends on seed and epoch alone, resume to the bit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import WeightsEnum

from blood_kedro.library.core.errors import ConfigurationError, UnsafeFileError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.detection.anchors import fit_anchors, mean_best_iou, size_iou
from blood_kedro.library.detection.data import DetectionData, channel_statistics
from blood_kedro.library.detection.fit import Fit, fit, without_source
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.options import CopyPaste, Network, Optimizer, Regimen
from blood_kedro.library.detection.predict import load_detector, predict
from blood_kedro.library.detection.transforms import named, unsharp
from blood_kedro.library.smears.patches import simulated_patches
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD
from blood_kedro.library.training.sampling import EpochSampler
from tests.fixtures.corpora import TINY, tiny_corpus, tiny_regimen


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """Eight images of 64 px with two cells each, and their folder."""
    return tiny_corpus(tmp_path / "images"), tmp_path / "images"


def weights_equal(a: ModelBundle, b: ModelBundle) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def run(corpus: tuple[dict[str, Any], Path], work: Path, **changes: Any) -> Fit:
    coco, images = corpus
    return fit(tiny_regimen(**changes), coco, coco, images, work)


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
    cells = simulated_patches(["spherocyte"], 3, 6.0, seed=1)
    plain = run(corpus, tmp_path / "plain", epochs=1)
    pasted = fit(tiny_regimen(epochs=1, copy_paste=pasting), coco, coco, images, tmp_path / "pasted", cutouts=cells)
    assert pasted.bundle.config["cutouts"] == {"spherocyte (simulated)": 3}
    assert plain.bundle.config["cutouts"] == {}
    assert not weights_equal(plain.bundle, pasted.bundle)
    with pytest.raises(ConfigurationError, match="cannot be pasted"):
        fit(tiny_regimen(epochs=1, copy_paste=pasting), coco, coco, images, tmp_path / "none")


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_training_continues_and_ends_with_the_same_weights(corpus: Any, tmp_path: Path, workers: int) -> None:
    coco, images = corpus
    recipe = tiny_regimen(epochs=3, augmentation="paper_r2", compute={"workers": workers})
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
        fit(tiny_regimen(epochs=2), coco, coco, images, tmp_path / "w", on_epoch=dies)
    fresh = run(corpus, tmp_path / "fresh", epochs=2, seed=9)
    assert weights_equal(fresh.bundle, fit(tiny_regimen(epochs=2, seed=9), coco, coco, images, tmp_path / "w").bundle)


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
        initialize(options, FirstWeights(kind="coco"), 25, IMAGENET_MEAN, IMAGENET_STD)
    assert "first_weights.path" in caught.value.remedy
    assert "simulated" in caught.value.remedy


def test_coco_weights_from_a_file(tmp_path: Path) -> None:
    """The real loading code on weights of the COCO detector's shape: all but the class layers arrive."""
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    torch.manual_seed(3)
    coco = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    torch.save(coco.state_dict(), tmp_path / "coco.pth")
    options = Network(backbone="resnet50_fpn", norm="frozen_batch", input_px=64)
    start = FirstWeights(kind="coco", path=str(tmp_path / "coco.pth"))
    made = initialize(options, start, 25, IMAGENET_MEAN, IMAGENET_STD)
    own, given = made.network.state_dict(), coco.state_dict()
    name = "backbone.body.layer4.2.conv3.weight"
    assert torch.equal(own[name], given[name])
    assert torch.equal(own["roi_heads.box_head.fc6.weight"], given["roi_heads.box_head.fc6.weight"])
    assert own["roi_heads.box_predictor.cls_score.weight"].shape == (25, 1024)
    assert "coco.pth" in made.origin
    with pytest.raises(WeightsNotFoundError, match="does not exist"):
        initialize(options, FirstWeights(kind="coco", path="nowhere.pth"), 25, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(ConfigurationError, match="batch norm"):
        initialize(Network(norm="group"), start, 25, IMAGENET_MEAN, IMAGENET_STD)
    # Arms of a 2x2 share live batch norm: its statistics come with the weights.
    live = initialize(Network(norm="batch", input_px=64), start, 25, IMAGENET_MEAN, IMAGENET_STD).network.state_dict()
    name = "backbone.body.layer3.0.bn1.running_var"
    assert torch.equal(live[name], given[name])


@pytest.mark.parametrize("stages", [0, 3, 5])
def test_the_stages_that_learn_are_those_of_torchvision(tmp_path: Path, stages: int) -> None:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    options = TINY.model_copy(update={"norm": "batch"})
    save_bundle(ModelBundle(dict(build_network(options, 3).state_dict()), {}), tmp_path / "m")
    start = FirstWeights(kind="checkpoint", path=str(tmp_path / "m"), trainable_layers=stages)
    network = initialize(options, start, 3, IMAGENET_MEAN, IMAGENET_STD).network
    theirs = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=torch.nn.BatchNorm2d, trainable_layers=stages
    )
    assert {name for name, p in network.backbone.named_parameters() if p.requires_grad} == {
        name for name, p in theirs.named_parameters() if p.requires_grad
    }
    assert all(p.requires_grad for part in (network.rpn, network.roi_heads) for p in part.parameters())


def test_frozen_stages_keep_their_weights_through_training(corpus: Any, tmp_path: Path) -> None:
    first = ModelBundle(dict(build_network(TINY, 3).state_dict()), {})
    save_bundle(first, tmp_path / "m")
    start = {"kind": "checkpoint", "path": str(tmp_path / "m"), "trainable_layers": 3}
    second = run(corpus, tmp_path / "b", epochs=1, first_weights=start).bundle
    same = {name for name, value in first.weights.items() if torch.equal(value, second.weights[name])}
    stem = {f"backbone.body.{name}" for name in ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")}
    assert stem <= same
    assert "backbone.body.layer2.0.conv1.weight" not in same


def test_random_weights_and_other_backbones_have_no_frozen_stages() -> None:
    with pytest.raises(ValueError, match="trainable_layers is for kind"):
        FirstWeights(trainable_layers=3)
    with pytest.raises(ValueError, match="stages of a ResNet"):
        Regimen(
            first_weights=FirstWeights(kind="coco", trainable_layers=3), network=Network(backbone="mobilenet_v3_320")
        )


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    source = build_network(TINY, 4)
    save_bundle(ModelBundle(dict(source.state_dict()), {}), tmp_path / "m")
    start = FirstWeights(kind="checkpoint", path=str(tmp_path / "m"))
    made = initialize(TINY, start, 9, IMAGENET_MEAN, IMAGENET_STD)  # other classes are fine
    assert torch.equal(made.network.backbone.body.conv1.weight, source.backbone.body.conv1.weight)
    other = TINY.model_copy(update={"representation": 32})
    with pytest.raises(ConfigurationError, match="do not fit"):
        initialize(other, start, 9, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(WeightsNotFoundError, match="no model bundle"):
        initialize(TINY, FirstWeights(kind="checkpoint", path="nowhere"), 9, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(WeightsNotFoundError, match="of kind simulated"):
        initialize(TINY, FirstWeights(kind="simulated"), 9, IMAGENET_MEAN, IMAGENET_STD)


def test_paper_network_has_25_outputs_and_loads_as_detector() -> None:
    network = build_network(Network(), 25)
    assert network.roi_heads.box_predictor.cls_score.out_features == 25
    config = {
        "regimen": Regimen(name="x", network=TINY).model_dump(mode="json"),
        "classes": ["rbc"],
        "image_mean": [0.5] * 3,
        "image_std": [0.2] * 3,
        "anchors_px": None,
    }
    bundle = ModelBundle(dict(build_network(TINY, 2).state_dict()), config)
    assert load_detector(bundle).training is False


@pytest.mark.parametrize(
    ("kind", "backbone", "norm", "name"),
    [
        ("coco", "resnet50_fpn", "frozen_batch", "FasterRCNN_ResNet50_FPN_Weights.COCO_V1"),
        ("coco", "resnet50_fpn_v2", "batch", "FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1"),
        ("coco", "mobilenet_v3_320", "frozen_batch", "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1"),
        ("imagenet", "resnet18_fpn", "frozen_batch", "ResNet18_Weights.IMAGENET1K_V1"),
        ("imagenet", "resnet50_fpn", "batch", "ResNet50_Weights.IMAGENET1K_V1"),
        ("imagenet", "mobilenet_v3_320", "batch", "MobileNet_V3_Large_Weights.IMAGENET1K_V1"),
    ],
)
def test_download_path_asks_torchvision_for_the_right_weights(
    monkeypatch: pytest.MonkeyPatch, kind: Any, backbone: Any, norm: Any, name: str
) -> None:
    asked = []

    def offline(self: Any, *args: object, **kwargs: object) -> None:
        asked.append((str(self), kwargs))
        raise OSError("no route")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(WeightsNotFoundError, match="no route"):
        initialize(Network(backbone=backbone, norm=norm), FirstWeights(kind=kind), 3, IMAGENET_MEAN, IMAGENET_STD)
    assert asked == [(name, {"progress": True, "check_hash": True})]


def test_optimizer_steps_by_epoch() -> None:
    from blood_kedro.library.detection.task import DetectionTask

    task = DetectionTask(
        build_network(TINY, 2), Optimizer(lr=0.1, step_epochs=2, gamma=0.1), steps_per_epoch=3, epochs=5
    )
    configured = task.configure_optimizers()
    rates = []
    for _ in range(5 * 3):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    np.testing.assert_allclose(rates, [0.1] * 6 + [0.01] * 6 + [0.001] * 3)


@pytest.mark.parametrize(("backbone", "norm"), [("resnet50_fpn_v2", "batch"), ("mobilenet_v3_320", "frozen_batch")])
def test_coco_weights_of_other_backbones_fit(tmp_path: Path, backbone: Any, norm: Any) -> None:
    from torchvision.models import detection

    make = {
        "resnet50_fpn_v2": detection.fasterrcnn_resnet50_fpn_v2,
        "mobilenet_v3_320": detection.fasterrcnn_mobilenet_v3_large_320_fpn,
    }[backbone]
    given = make(weights=None, weights_backbone=None, num_classes=91)
    torch.save(given.state_dict(), tmp_path / "coco.pth")
    options = Network(backbone=backbone, norm=norm, input_px=64)
    start = FirstWeights(kind="coco", path=str(tmp_path / "coco.pth"))
    network = initialize(options, start, 4, IMAGENET_MEAN, IMAGENET_STD).network
    own = network.state_dict()
    same = [name for name, value in given.state_dict().items() if name in own and torch.equal(own[name], value)]
    assert {name for name in own if not name.startswith("roi_heads.box_predictor")} <= set(same)
    assert len(network.eval()([torch.rand(3, 64, 64)])) == 1


def test_imagenet_weights_reach_the_body_alone(tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v3_large, resnet18

    torch.manual_seed(1)
    classifier = resnet18(weights=None)
    torch.save(classifier.state_dict(), tmp_path / "resnet.pth")
    start = FirstWeights(kind="imagenet", path=str(tmp_path / "resnet.pth"))
    options = TINY.model_copy(update={"norm": "batch"})
    made = initialize(options, start, 3, IMAGENET_MEAN, IMAGENET_STD)
    body = made.network.backbone.body.state_dict()
    assert torch.equal(body["layer4.1.conv2.weight"], classifier.state_dict()["layer4.1.conv2.weight"])
    assert "ImageNet" in made.origin
    with pytest.raises(ConfigurationError, match="batch norm"):
        initialize(TINY, start, 3, IMAGENET_MEAN, IMAGENET_STD)
    mobile = mobilenet_v3_large(weights=None)
    torch.save(mobile.state_dict(), tmp_path / "mobile.pth")
    start = FirstWeights(kind="imagenet", path=str(tmp_path / "mobile.pth"))
    options = Network(backbone="mobilenet_v3_320", norm="frozen_batch", input_px=64)
    body = initialize(options, start, 3, IMAGENET_MEAN, IMAGENET_STD).network.backbone.body.state_dict()
    assert torch.equal(body["0.0.weight"], mobile.state_dict()["features.0.0.weight"])


class Attack:
    """What a foreign pickle can do to whoever loads it."""

    def __reduce__(self) -> Any:
        return (Path("pwned").write_text, ("gotcha",))


def test_a_foreign_pickle_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"layer": Attack()}))
    torch.save({"layer": Attack()}, tmp_path / "zipped.pth")
    for name in ("weights.pth", "zipped.pth"):
        start = FirstWeights(kind="coco", path=name)
        with pytest.raises(UnsafeFileError, match="foreign code"):
            initialize(Network(norm="frozen_batch"), start, 3, IMAGENET_MEAN, IMAGENET_STD)
    assert not Path("pwned").exists()


def test_anchors_by_hand() -> None:
    """Three kinds of box, three anchors: k-means finds the kinds."""
    rng = np.random.default_rng(0)
    kinds = np.array([[20.0, 20.0], [60.0, 30.0], [30.0, 60.0]])
    sizes = np.repeat(kinds, 40, axis=0) + rng.uniform(-1, 1, (120, 2))
    anchors = fit_anchors(sizes, seed=1, count=3)
    assert np.abs(anchors[0] - kinds[0]).max() < 1
    assert np.abs(np.sort(anchors[1:], axis=0) - np.sort(kinds[1:], axis=0)).max() < 1
    np.testing.assert_allclose(size_iou(np.array([[10.0, 20.0]]), np.array([[20.0, 10.0]])), [[100 / 300]])
    assert mean_best_iou(sizes, anchors) > mean_best_iou(sizes, kinds[:1]) > 0
    with pytest.raises(ValueError, match="3 anchors"):
        fit_anchors(kinds[:2], 0, count=3)


def test_fitted_anchors_are_used_and_travel_with_the_model(corpus: Any, tmp_path: Path) -> None:
    coco, images = corpus
    rng = np.random.default_rng(0)
    varied = [{**a, "bbox": [*a["bbox"][:2], *rng.uniform(9, 20, 2).tolist()]} for a in coco["annotations"]]
    network = TINY.model_copy(update={"anchors": "fitted"})
    trained = fit(
        tiny_regimen(epochs=1, network=network), {**coco, "annotations": varied}, coco, images, tmp_path / "w"
    )
    anchors = trained.bundle.config["anchors_px"]
    assert np.shape(anchors) == (15, 2)
    made = load_detector(trained.bundle).rpn.anchor_generator.cell_anchors
    widths = torch.cat(list(made))[:, 2:] - torch.cat(list(made))[:, :2]
    np.testing.assert_allclose(widths.numpy(), anchors, rtol=1e-5)


def test_augmentation_is_a_list_of_names() -> None:
    assert named("paper_r2") == ("flip", "colour_jitter")
    assert named(["zoom", "sharpen"]) == ("zoom", "sharpen")
    with pytest.raises(ValueError, match="unknown augmentation"):
        Regimen(augmentation=("flip", "swirl"))


def test_moved_boxes_stay_on_their_cells(corpus: Any) -> None:
    """After zoom, shift, turns and flips each box still frames dark pixels, and what left the image has no box."""
    coco, images = corpus
    data = DetectionData(coco, images, ("flip", "flip_vertical", "quarter_turn", "zoom"), seed=3)
    counts = set()
    for epoch in range(30):
        image, target = data[(epoch, epoch % 8)]
        counts.add(len(target["boxes"]))
        assert len(target["labels"]) == len(target["boxes"])
        assert (target["boxes"] >= 0).all()
        assert (target["boxes"] <= 64).all()
        for x_min, y_min, x_max, y_max in target["boxes"].round().int().tolist():
            inside = image[1, y_min:y_max, x_min:x_max]
            dark = (inside < 0.5) & (inside > 0.05)
            assert dark.float().mean() > 0.5  # a disc fills 79% of its box
    assert max(counts) == 2


def test_training_images_are_shrunk_as_the_network_would(corpus: Any) -> None:
    coco, images = corpus
    whole, small = (DetectionData(coco, images, "none", 0, train_px=side) for side in (None, 32))
    (image, target), (shrunk, moved) = whole[(0, 0)], small[(0, 0)]
    assert shrunk.shape == (3, 32, 32)
    assert torch.equal(moved["boxes"], target["boxes"] / 2)
    network = build_network(TINY.model_copy(update={"input_px": 32}), 3)
    late, early = (network.transform([i])[0].tensors for i in (image, shrunk))
    assert (late - early).abs().max() < 0.02  # half a grey level after normalisation
    assert torch.equal(small[0][0], image)  # validation and prediction see the whole image


def test_boxes_keep_their_place_in_bfloat16() -> None:
    """torchvision alone rounds proposals above 256 px to even pixels under mixed precision. (The strip is low because
    bfloat16 convolutions take minutes on processors without such units.)"""
    network = build_network(TINY.model_copy(update={"input_px": 512}), 3).eval()
    seen = []
    network.roi_heads.box_roi_pool.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[1][0]))
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        output = network([torch.rand(3, 32, 512)])[0]
    proposals = seen[0]
    assert proposals.dtype == output["boxes"].dtype == torch.float32
    assert (proposals != proposals.to(torch.bfloat16).float()).any()


def test_a_source_that_is_left_out_is_not_seen(corpus: Any, tmp_path: Path) -> None:
    coco, images = corpus
    mixed = {**coco, "images": [{**i, "source": "bccd" if i["id"] > 4 else "chula"} for i in coco["images"]]}
    kept = without_source(mixed, "bccd")
    assert {i["source"] for i in kept["images"]} == {"chula"}
    assert {a["image_id"] for a in kept["annotations"]} == {1, 2, 3, 4}
    trained = fit(tiny_regimen(epochs=1, leave_out="bccd"), mixed, mixed, images, tmp_path / "w")
    assert (trained.bundle.config["train_images"], trained.bundle.config["val_images"]) == (4, 8)
    with pytest.raises(ConfigurationError, match="leave out"):
        without_source(mixed, "pbc")


def test_history_holds_ap50_where_asked(corpus: Any, tmp_path: Path) -> None:
    rows = run(corpus, tmp_path / "w", epochs=3, map_every=2).history
    assert ["val_map_50" in row for row in rows] == [False, True, True]
    assert 0 <= rows[-1]["val_map_50"] <= 1


def test_cosine_falls_to_zero() -> None:
    from blood_kedro.library.detection.task import DetectionTask

    task = DetectionTask(build_network(TINY, 2), Optimizer(lr=0.1, schedule="cosine"), steps_per_epoch=5, epochs=4)
    factor = task.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    np.testing.assert_allclose([factor(0), factor(10), factor(20)], [1, 0.5, 0], atol=1e-9)


@pytest.mark.parametrize("switch", [{"channels_last": True}, {"precision": "bf16-mixed"}])
def test_fast_ways_learn_the_same(corpus: Any, tmp_path: Path, switch: dict[str, Any]) -> None:
    plain = run(corpus, tmp_path / "a", epochs=1).history[0]["train_loss"]
    fast = run(corpus, tmp_path / "b", epochs=1, **switch)
    assert fast.history[0]["train_loss"] == pytest.approx(plain, rel=0.05)


def test_compiling_wraps_the_backbone_and_keeps_the_names_of_weights(
    corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of inductor, which takes a minute here, whatever is compiled runs as it is."""
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    plain = run(corpus, tmp_path / "a", epochs=1)
    assert compiled == []
    fast = run(corpus, tmp_path / "b", epochs=1, compile=True)
    assert compiled == ["BackboneWithFPN"]
    assert weights_equal(plain.bundle, fast.bundle)


def test_processes_share_the_batches_that_one_would_see() -> None:
    whole = list(EpochSampler(range(10), 1, None))
    parts = [list(EpochSampler(range(10), 1, None, rank=rank, world=2)) for rank in (0, 1)]
    assert [pair for pairs in zip(*parts, strict=True) for pair in pairs] == whole
    uneven = [list(EpochSampler(range(9), 1, None, rank=rank, world=2)) for rank in (0, 1)]
    assert [len(part) for part in uneven] == [5, 5]  # nobody waits for the other at the end
    assert {index for part in uneven for _, index in part} == set(range(9))
