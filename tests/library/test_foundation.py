"""Foundation models: read from a folder only, refused when they are other ones, probed as their papers do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.training.foundation import (
    LinearHead,
    NeighbourHead,
    Probe,
    build_backbone,
    build_probe,
    fit_probe,
    load_backbone,
)
from blood_kedro.library.training.foundation_options import Method


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a transformer of the same shape and random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("reddino")
    save_file(build_backbone().state_dict(), folder / "model.safetensors")
    return folder


def test_weights_that_are_not_on_the_disk_are_named_with_their_home(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"huggingface\.co/MarrLab/DinoBloom"):
        load_backbone("dinobloom_s", tmp_path)


def test_a_saved_transformer_gives_its_features_again(tmp_path: Path, weights: Path) -> None:
    file = next(weights.iterdir())
    known = load_file(file)
    torch.save({f"teacher.backbone.{n}": v for n, v in known.items()}, tmp_path / "pytorch_model_s.bin")
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        red, bloom = (
            Probe(load_backbone(model, folder), LinearHead(2)).features(images)
            for model, folder in (("reddino_small", weights), ("dinobloom_s", tmp_path))  # type: ignore[arg-type]
        )
    assert red.shape == (2, 384)
    torch.testing.assert_close(red, bloom)
    assert not torch.allclose(red[0], red[1])


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"classifier.weight": torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="does not hold reddino_small"):
        load_backbone("reddino_small", tmp_path)


@pytest.mark.parametrize("head", [LinearHead(3), NeighbourHead(3)], ids=["linear", "neighbours"])
def test_a_head_tells_two_clouds_apart_and_never_answers_what_it_has_not_seen(head: LinearHead | NeighbourHead) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    # apart in direction as well as in place: neighbours are by cosine
    cloud = torch.randn(60, 384, generator=generator) + torch.where(labels == 1, 1.0, -1.0)[:, None]
    head.learn(cloud[:40], labels[:40])
    chances = head(cloud[40:]).softmax(1)
    assert (chances.argmax(1) == labels[40:]).all()
    assert chances[:, 2].max() < 1e-3


@pytest.mark.parametrize("method", ["linear", "neighbours"])
def test_a_probe_is_fitted_saved_and_loaded(weights: Path, method: Method) -> None:
    images = torch.zeros(4, 3, 32, 32)
    images[::2, 0], images[1::2, 2] = 0.9, 0.9
    labels = torch.tensor([0, 1, 0, 1])
    probe, loss = fit_probe("reddino_small", method, weights, 2, [(images, labels)])
    with torch.inference_mode():
        answers = probe(images)
        assert answers.argmax(1).tolist() == labels.tolist()
        assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(answers, labels)), abs=1e-4)
        again = build_probe(method, 2, probe.state_dict()).eval()
        again.load_state_dict(probe.state_dict())
        torch.testing.assert_close(again(images), answers)
    assert [name for name, value in probe.named_parameters() if value.requires_grad and "backbone" in name] == []
