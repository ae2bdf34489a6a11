"""ImageNet weights of an installed package: checked, under timm's names, normalised as they were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from skimage import data as pictures

from blood_kedro.library.core.errors import UnsafeFileError, WeightsNotFoundError
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.network import imagenet_normalization
from blood_kedro.library.detection.options import Network
from blood_kedro.library.morphology.networks import LITE0_ENCODER, build_classifier, build_segmenter, first_weights
from blood_kedro.library.training import packaged_weights
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD

ESPRESSO = 967


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return packaged_weights.efficientnet_lite0()


def coffee() -> torch.Tensor:
    rgb = torch.from_numpy(pictures.coffee().copy()).permute(2, 0, 1)[None].float() / 255
    side = min(rgb.shape[-2:])
    left = (rgb.shape[-1] - side) // 2
    return torch.nn.functional.interpolate(rgb[..., left : left + side], (224, 224), mode="bicubic", antialias=True)


def test_the_network_knows_an_espresso_and_is_surest_with_its_own_normalization(
    weights: dict[str, torch.Tensor],
) -> None:
    network = timm.create_model(packaged_weights.TIMM_NAME).eval()
    network.load_state_dict(weights)
    sure = {}
    others = {"none": ((0.0,) * 3, (1.0,) * 3), "torchvision": (IMAGENET_MEAN, IMAGENET_STD)}
    for name, (mean, std) in {"own": packaged_weights.NORMALIZATION, **others}.items():
        shift, scale = (torch.tensor(value)[:, None, None] for value in (mean, std))
        with torch.no_grad():
            answer = network((coffee() - shift) / scale).softmax(1)[0]
        assert int(answer.argmax()) == ESPRESSO
        sure[name] = float(answer[ESPRESSO])
    assert sure["own"] > 0.9 > max(sure["none"], sure["torchvision"])


def test_a_classifier_starts_from_them_with_a_silent_head_and_normalises_by_itself(
    weights: dict[str, torch.Tensor],
) -> None:
    network = build_classifier("efficientnet_lite0", 5).eval()
    assert "efficientnet-lite0" in first_weights(network, "efficientnet_lite0", FirstWeights(kind="imagenet"))
    assert torch.equal(network.state_dict()["blocks.3.1.conv_pw.weight"], weights["blocks.3.1.conv_pw.weight"])
    with torch.no_grad():
        torch.testing.assert_close(network(coffee()).softmax(1), torch.full((1, 5), 0.2))
        plain = timm.create_model(packaged_weights.TIMM_NAME, num_classes=5).eval()
        plain.load_state_dict(network.state_dict())
        torch.testing.assert_close(network.forward_features(coffee() * 2 - 1), plain.forward_features(coffee() * 2 - 1))  # type: ignore[operator]
        network.classifier.weight.normal_()  # type: ignore[union-attr, operator]
        plain.classifier.weight.copy_(network.classifier.weight)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(network(coffee()), plain(coffee() * 2 - 1))


def test_the_encoder_of_a_u_net_starts_from_them(weights: dict[str, torch.Tensor]) -> None:
    network, origin = build_segmenter(LITE0_ENCODER, FirstWeights(kind="imagenet"))
    assert "encoder" in origin
    name = "unet.encoder.model.blocks.3.1.conv_pw.weight"
    assert torch.equal(network.state_dict()[name], weights["blocks.3.1.conv_pw.weight"])
    assert network.eval()(torch.rand(1, 3, 80, 80)).shape == (1, 1, 80, 80)


@pytest.mark.parametrize("norm", ["frozen_batch", "batch"])
def test_the_body_of_a_detector_starts_from_them(weights: dict[str, torch.Tensor], norm: str) -> None:
    options = Network.model_validate(
        {"backbone": "efficientnet_lite0_fpn", "norm": norm, "input_px": 64, "fpn_channels": 32, "representation": 32}
    )
    mean, std = imagenet_normalization(options.backbone)
    assert (mean, std) == packaged_weights.NORMALIZATION
    made = initialize(options, FirstWeights(kind="imagenet"), 4, mean, std)
    body = made.network.backbone.body.state_dict()  # type: ignore[union-attr, operator]
    for name in ("blocks.6.0.conv_pwl.weight", "bn1.running_mean"):
        assert torch.equal(body[name], weights[name])
    trained = [n for n, p in made.network.backbone.body.named_parameters() if ".bn" in n]  # type: ignore[union-attr, operator]
    assert bool(trained) == (norm == "batch")
    (found,) = made.network.eval()([torch.rand(3, 64, 64)])
    assert set(found) == {"boxes", "labels", "scores"}
    with pytest.raises(ValueError, match="batch norm"):
        Network(backbone="efficientnet_lite0_fpn", norm="group")


def test_a_changed_or_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(packaged_weights, "files", lambda _: tmp_path)
    with pytest.raises(WeightsNotFoundError, match="lacks its file"):
        packaged_weights.efficientnet_lite0()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(np.arange(9).tobytes())
    with pytest.raises(UnsafeFileError, match="another one"):
        packaged_weights.efficientnet_lite0()

    def absent(_: str) -> Path:
        raise ModuleNotFoundError

    monkeypatch.setattr(packaged_weights, "files", absent)
    with pytest.raises(WeightsNotFoundError, match="not installed"):
        packaged_weights.efficientnet_lite0()
