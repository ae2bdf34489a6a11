"""Foundation models: read from a folder only, refused when they are other ones, probed as their papers do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.shipped.foundation import build_backbone, features, load_backbone, probe


def test_weights_that_are_not_on_the_disk_are_named_with_their_home(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"huggingface\.co/MarrLab/DinoBloom"):
        load_backbone("dinobloom_s", tmp_path)


def test_a_saved_transformer_gives_its_features_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_backbone().eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    torch.save({f"teacher.backbone.{n}": v for n, v in network.state_dict().items()}, tmp_path / "pytorch_model_s.bin")
    crops = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
    expected = features(network, crops)
    assert expected.shape == (2, 384)
    for model in ("reddino_small", "dinobloom_s"):
        np.testing.assert_allclose(features(load_backbone(model, tmp_path), crops), expected, rtol=1e-4, atol=1e-4)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"classifier.weight": torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="does not hold reddino_small"):
        load_backbone("reddino_small", tmp_path)


@pytest.mark.parametrize("method", ["linear", "neighbours"])
def test_a_probe_tells_two_clouds_apart(method: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    # apart in direction as well as in place: neighbours are by cosine
    cloud = (rng.normal(0, 1, (60, 8)) + 4 * np.where(labels == 1, 1, -1)[:, None]).astype(np.float32)
    probabilities = probe(cloud[:40], labels[:40], cloud[40:], method)  # type: ignore[arg-type]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels[40:]).all()
