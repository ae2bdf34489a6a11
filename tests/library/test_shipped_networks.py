"""The shipped networks without PyTorch: the same answers as the networks that were trained, nothing slow imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.ops import batched_nms

from blood_kedro.library.core.errors import ConfigurationError, DataContractError
from blood_kedro.library.core.model_bundle import rebuilt
from blood_kedro.library.shipped.bundle import load_shipped
from blood_kedro.library.shipped.cell_detector import _NMS_IOU, _apart, detect_at, scaled
from blood_kedro.library.shipped.centre_net import CentreNet
from blood_kedro.library.shipped.load import load
from blood_kedro.library.shipped.networks import cell_maps, threads, type_logits
from blood_kedro.library.shipped.type_network import CellTypeNet, logits_by_torch
from blood_kedro.library.shipped.type_probabilities import log_probabilities


def trained(network: nn.Module) -> nn.Module:
    """With norms as a training leaves them: none of them the identity."""
    for name, value in network.state_dict().items():
        if ".bn" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
def test_the_detector_says_the_same_without_torch(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = trained(CentreNet(3, 8))
    pictures = torch.rand(2, 3, *size)
    with torch.inference_mode():
        expected = network(pictures)
    middles, sides = cell_maps(network.state_dict(), 3, 8, "a test")(pictures.numpy())
    assert expected.middles.std() > 0
    assert middles == pytest.approx(expected.middles.numpy(), abs=1e-3, rel=1e-3)
    assert sides == pytest.approx(expected.sides.numpy(), rel=1e-3)


@pytest.mark.parametrize("side", [80, 64, 66])  # 80 leaves an odd side before the last halving
def test_a_classifier_says_the_same_without_torch(side: int) -> None:
    torch.manual_seed(0)
    network = trained(CellTypeNet(5))
    images = torch.rand(3, 3, side, side).numpy()
    expected = logits_by_torch(network)(images)
    assert expected.std() > 0
    found = type_logits(network.state_dict(), 5, "a test")(images)
    assert found == pytest.approx(expected, abs=1e-3 * float(np.abs(expected).max()))


@pytest.mark.parametrize("broken", ["missing", "unknown", "shape", "nan"])
def test_weights_of_another_network_are_refused(broken: str) -> None:
    weights = dict(CellTypeNet(5).state_dict())
    name = "body.blocks.1.0.conv_dw.weight"
    if broken == "missing":
        del weights[name]
    elif broken == "unknown":
        weights["body.more"] = torch.zeros(1)
    elif broken == "shape":
        weights[name] = weights[name][:, :, :2]
    else:
        weights[name] = weights[name] * float("nan")
    words = {"missing": f"no {name}", "unknown": "unknown body.more", "shape": "for", "nan": "no numbers"}
    with pytest.raises(DataContractError, match=words[broken]):
        type_logits(weights, 5, "a test")


@pytest.mark.parametrize("size_px", [(31, 47), (100, 61), (171, 120), (60, 150)])
def test_pictures_are_made_smaller_as_in_training(size_px: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    before = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    expected = interpolate(before, size=size_px[::-1], mode="bilinear", antialias=True, align_corners=False)[0]
    assert scaled(rgb, size_px) == pytest.approx(expected.numpy(), abs=1e-4)


def test_of_boxes_that_overlap_the_surest_of_each_class_stays() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 200, (400, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 60, (400, 2))], axis=1)
    labels, scores = rng.integers(0, 3, 400), rng.uniform(0.05, 1, 400)
    tensors = (torch.from_numpy(each) for each in (boxes, scores, labels))
    expected = batched_nms(*tensors, _NMS_IOU).tolist()
    assert 20 < len(expected) < 380
    assert _apart(boxes, labels, scores).tolist() == expected
    assert _apart(boxes[:0], labels[:0], scores[:0]).tolist() == []


def test_probabilities_are_means_over_orientations_of_a_cell() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

    def corner(images: np.ndarray) -> np.ndarray:
        return np.stack([images[:, 0, 0, 0], np.zeros(len(images))], axis=1).astype(np.float32)

    found = log_probabilities(corner, crops, views=8, batch=2)
    corners = crops[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] / 255  # each twice: turned, and mirrored
    logs = -np.log1p(np.exp(np.stack([-corners, corners])))
    expected = logs.mean(axis=2).T
    expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    assert found == pytest.approx(expected, abs=1e-6)
    assert log_probabilities(corner, crops[:0]).shape == (0, 0)


def test_networks_take_the_threads_that_a_process_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    for unset in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unset)
        assert threads() >= 1


def field(width_px: int) -> np.ndarray:
    """Cells of a shape and stain that the shipped models know, a nucleus in the last."""
    rgb = np.full((300, 400, 3), (228, 224, 226), np.uint8)
    rng = np.random.default_rng(0)
    centres = [(70 + 85 * column, 60 + 90 * row) for row in range(3) for column in range(4)]
    for x, y in centres:
        shift = rng.integers(-6, 7, 2)
        middle = int(x + shift[0]), int(y + shift[1])
        cv2.circle(rgb, middle, width_px // 2, (205, 150, 160), -1, cv2.LINE_AA)
        cv2.circle(rgb, middle, width_px // 6, (220, 185, 190), -1, cv2.LINE_AA)
    cv2.circle(rgb, centres[-1], int(width_px * 0.7), (110, 70, 150), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(rgb, (3, 3), 0)


def test_the_shipped_detector_finds_the_same_cells_as_by_torch() -> None:
    detector = load("cells")
    network = rebuilt(load_shipped("cells"), lambda config: CentreNet(3, config["recipe"]["channels"]))

    def maps(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            said = network(torch.from_numpy(pictures))
        return said.middles.numpy(), said.sides.numpy()

    for width_px in (30, 64):
        zoom = detector.config["cell_px"] / width_px
        by_torch, found = (detect_at(each, field(width_px), zoom) for each in (maps, detector.maps))
        assert (found.scores > 0.3).sum() >= 10
        assert found.labels.tolist() == by_torch.labels.tolist()
        assert found.scores == pytest.approx(by_torch.scores, abs=1e-3)
        assert found.boxes == pytest.approx(by_torch.boxes, abs=0.5)


@pytest.mark.parametrize("name", ["white_cells", "red_cell_shapes"])
def test_the_shipped_classifiers_name_cells_as_by_torch(name: str) -> None:
    classifier = load(name)
    bundle = load_shipped(name)
    network = rebuilt(bundle, lambda config: CellTypeNet(len(config["classes"])))
    boxes = np.array([[x - 32.0, y - 32, x + 32, y + 32] for y in (60, 150, 240) for x in (70, 155, 240, 325)])
    found = classifier.predict(field(64), boxes, 64)
    expected = replace(classifier, logits=logits_by_torch(network)).predict(field(64), boxes, 64)
    assert found["type"].tolist() == expected["type"].tolist()
    probabilities = [f"p_{each}" for each in classifier.classes]
    assert found[probabilities].to_numpy() == pytest.approx(expected[probabilities].to_numpy(), abs=1e-3)


def test_a_shipped_model_is_read_once_in_a_process() -> None:
    assert load("cells") is load("cells")
    with pytest.raises(ConfigurationError, match="no shipped model"):
        load("cell")


def test_a_count_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "field.png"), field(48)[..., ::-1])
    code = """
import sys
from dataclasses import replace
from pathlib import Path
from blood_kedro.assembly.namers import parts_of
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import count_pictures
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.shipped.detect_pictures import at_measured_scale

picture, work = Path(sys.argv[1]), Path(sys.argv[2])
options = SmearInput(path=str(picture), segmenter="shipped", measure_scale=True, name_types=True, workers=1)
rejects = RejectLog("own")
smears = open_smears([picture], options.tile_px, options.overlap_px, work, rejects)
options = at_measured_scale(options, smears)
made = count_pictures(smears, options, parts_of(options, None), work, rejects)
slow = "torch torchvision timm lightning mlflow kedro sklearn matplotlib scipy.signal scipy.stats pandera"
print(len(made.counts), len(rejects.rows), sorted(set(slow.split()) & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "field.png"), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["1 0 []"], done.stderr[-2000:]
