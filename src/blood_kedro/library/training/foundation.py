"""Foundation models of blood cells as feature extractors: RedDino and DinoBloom, read from a folder of the user's own.

Both are vision transformers (ViT-S/14 as in DINOv2) trained without labels: RedDino on red cells (Zedda et al. 2025),
DinoBloom on blood and marrow cells (Koch et al., MICCAI 2024). Their weights are not part of this project; their papers
judge them by a linear probe and by nearest neighbours on features that stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.weights import read_weights
from blood_kedro.library.training.foundation_options import Backbone, Method
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD

SIDE_PX, FEATURES = 224, 384
_TIMM_NAME = "vit_small_patch14_dinov2"
_NEIGHBOURS, _TEMPERATURE = 20, 0.07
# Logit of a class that no cell speaks for.
_NEVER = -20.0


@dataclass(frozen=True)
class _Home:
    """Where weights are published, and the files that they come in, the first that is there."""

    hub: str
    files: tuple[str, ...]


HOMES: dict[Backbone, _Home] = {
    "reddino_small": _Home("huggingface.co/Snarcy/RedDino-small", ("model.safetensors", "pytorch_model.bin")),
    "dinobloom_s": _Home("huggingface.co/MarrLab/DinoBloom", ("pytorch_model_s.bin", "model.safetensors")),
}


def build_backbone() -> nn.Module:
    """The transformer of both models with random weights: `(N, 3, 224, 224)` to features `(N, 384)`."""
    import timm

    network: nn.Module = timm.create_model(_TIMM_NAME, num_classes=0, img_size=SIDE_PX)
    return network


def load_backbone(model: Backbone, folder: Path) -> nn.Module:
    """A foundation model from a local folder, ready to extract features.

    Raises:
        WeightsNotFoundError: the folder does not hold its file; nothing is downloaded.
        ConfigurationError: the file holds another network.
        DataContractError, UnsafeFileError: it is cut or damaged, holds values that are no numbers, or is a pickle of
            more than tensors.
    """
    home = HOMES[model]
    file = next((folder / name for name in home.files if (folder / name).is_file()), None)
    if file is None:
        raise WeightsNotFoundError(
            f"weights of {model} are not on the disk, and nothing is downloaded",
            where=str(folder.absolute()),
            expected=" or ".join(home.files),
            remedy=f"fetch them from {home.hub} and name their folder",
        )
    network = build_backbone()
    expected = network.state_dict()
    read = read_weights(file, f"take the file of {home.hub} again")
    given = {_plain_name(name): value for name, value in read.items()}
    fitting = {name: value for name, value in given.items() if name in expected and expected[name].shape == value.shape}
    missing = sorted(expected.keys() - fitting.keys())
    if missing:
        raise ConfigurationError(
            f"the file does not hold {model}",
            where=str(file),
            got=f"no fitting {missing[0]} ({len(missing)} in all)",
            expected=f"a {_TIMM_NAME} for pictures of {SIDE_PX} px",
            remedy=f"take the file of {home.hub}",
        )
    network.load_state_dict(fitting)
    return network.eval()


def _plain_name(name: str) -> str:
    """A layer's name without those of the training around it."""
    for prefix in ("teacher.", "student.", "module.", "backbone."):
        name = name.removeprefix(prefix)
    return name


class Probe(nn.Module):
    """Logits `(N, classes)` of `(N, 3, S, S) float32` images in 0..1: a backbone that stays as it is, and a head."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone.requires_grad_(False), head

    def features(self, images: Tensor) -> Tensor:
        """Features `(N, 384)` of images, which are brought to 224 px first."""
        mean, deviation = (
            torch.tensor(value, device=images.device).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD)
        )
        large = nn.functional.interpolate(images, (SIDE_PX, SIDE_PX), mode="bicubic", antialias=True)
        features: Tensor = self.backbone((large - mean) / deviation)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.features(images))
        return logits


class LinearHead(nn.Module):
    """Logistic regression of standardised features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.linear = nn.Linear(FEATURES, classes)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Fit to features `(N, 384)` with labels `(N,) int64`; a class without a cell is never answered."""
        from sklearn.linear_model import LogisticRegression

        self.mean, self.deviation = features.mean(0), features.std(0).clamp_min(1e-6)
        scaled = ((features - self.mean) / self.deviation).numpy()
        known = labels.unique()
        model = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced").fit(scaled, labels.numpy())
        weight, bias = (torch.from_numpy(value).float() for value in (model.coef_, model.intercept_))
        if len(known) == 2:  # one row for the second class against the first
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.bias.fill_(_NEVER)
            self.linear.weight[known], self.linear.bias[known] = weight, bias

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.linear((features - self.mean) / self.deviation)
        return logits


class NeighbourHead(nn.Module):
    """Votes of the 20 nearest features by cosine, weighed by exp(cosine / 0.07) as DINO does (Caron et al. 2021)."""

    def __init__(self, classes: int, stored: int = 0) -> None:
        super().__init__()
        self.known: Tensor
        self.votes: Tensor
        self.register_buffer("known", torch.zeros(stored, FEATURES))
        self.register_buffer("votes", torch.zeros(stored, classes))

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Keep features `(N, 384)` with labels `(N,) int64`."""
        self.known = nn.functional.normalize(features, dim=1)
        self.votes = nn.functional.one_hot(labels, self.votes.shape[1]).float()

    def forward(self, features: Tensor) -> Tensor:
        """Logits: the logarithm of each class's share of the votes."""
        likeness = nn.functional.normalize(features, dim=1) @ self.known.T
        nearest, which = likeness.topk(min(_NEIGHBOURS, likeness.shape[1]), dim=1)
        weights = (nearest / _TEMPERATURE).softmax(1)
        shares = (weights[..., None] * self.votes[which]).sum(1)
        return shares.clamp_min(float(np.exp(_NEVER))).log()


def build_probe(method: Method, classes: int, weights: Mapping[str, Tensor]) -> Probe:
    """A probe with random weights that those of a saved one can be loaded into."""
    stored = len(weights.get("head.known", ()))
    return Probe(build_backbone(), LinearHead(classes) if method == "linear" else NeighbourHead(classes, stored))


def fit_probe(
    model: Backbone, method: Method, folder: Path, classes: int, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Probe, float]:
    """A probe of a foundation model, fitted to labelled images, and its mean cross-entropy on these.

    Args:
        model: which.
        method: how its papers judge it.
        folder: that its file lies in.
        classes: their number.
        batches: images `(N, 3, S, S) float32` in 0..1 with labels `(N,) int64`; each once, as they are.

    Raises:
        WeightsNotFoundError: the folder does not hold the model's file; nothing is downloaded.
        ConfigurationError: the file holds another network.
    """
    head = LinearHead(classes) if method == "linear" else NeighbourHead(classes)
    probe = Probe(load_backbone(model, folder), head).eval()
    parts, targets = [], []
    with torch.inference_mode():
        for images, labels in batches:
            parts.append(probe.features(images))
            targets.append(labels)
    features, wanted = torch.cat(parts).clone(), torch.cat(targets).clone()
    head.learn(features, wanted)
    with torch.inference_mode():
        return probe, float(nn.functional.cross_entropy(head(features), wanted))
