"""Foundation models of blood cells as feature extractors: RedDino and DinoBloom, read from a folder of the user's own.

Both are vision transformers (ViT-S/14 as in DINOv2) trained without labels: RedDino on red cells (Zedda et al. 2025),
DinoBloom on blood and marrow cells (Koch et al., MICCAI 2024). Their weights are not part of this project; their papers
judge them by a linear probe and by nearest neighbours on features that stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.shipped.type_training import as_images

Backbone = Literal["reddino_small", "dinobloom_s"]
Probe = Literal["linear", "neighbours"]
Crops = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIDE_PX = 224
_TIMM_NAME = "vit_small_patch14_dinov2"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as DINOv2 was trained
_NEIGHBOURS = 20


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
    """
    home = HOMES[model]
    file = next((folder / name for name in home.files if (folder / name).is_file()), None)
    if file is None:
        raise WeightsNotFoundError(
            f"weights of {model} are not on the disk, and nothing is downloaded", where=str(folder.absolute()),
            expected=" or ".join(home.files), remedy=f"fetch them from {home.hub} and name their folder",
        )  # fmt: skip
    network = build_backbone()
    own = network.state_dict()
    given = {_plain_name(name): value for name, value in _read(file).items()}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    missing = sorted(own.keys() - fitting.keys())
    if missing:
        raise ConfigurationError(
            f"the file does not hold {model}", where=str(file), got=f"no fitting {missing[0]} ({len(missing)} in all)",
            expected=f"a {_TIMM_NAME} for pictures of {SIDE_PX} px", remedy=f"take the file of {home.hub}",
        )  # fmt: skip
    network.load_state_dict(fitting)
    return network.eval()


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _plain_name(name: str) -> str:
    """A layer's name without those of the training around it."""
    for prefix in ("teacher.", "student.", "module.", "backbone."):
        name = name.removeprefix(prefix)
    return name


def features(network: nn.Module, crops: Crops, batch: int = 32) -> npt.NDArray[np.float32]:
    """Features `(N, 384)` of crops `(N, S, S, 3) uint8`, which are brought to 224 px first."""
    mean, deviation = (torch.tensor(value)[:, None, None] for value in (_MEAN, _DEVIATION))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), batch):
            images = as_images(crops[start : start + batch])
            large = nn.functional.interpolate(images, (SIDE_PX, SIDE_PX), mode="bicubic", antialias=True)
            parts.append(network((large - mean) / deviation))
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def probe(
    learnt: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], asked: npt.NDArray[np.float32], method: Probe
) -> Floats:
    """Probabilities `(M, C)` of new features by a linear probe, or by the 20 nearest neighbours by cosine.

    Args:
        learnt: features `(N, D)` of labelled cells.
        labels: `(N,)`, 0 to C - 1, each at least once.
        asked: features `(M, D)`.
        method: `linear` (logistic regression of standardised features) or `neighbours`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if method == "linear":
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))
    else:
        model = KNeighborsClassifier(min(_NEIGHBOURS, len(learnt)), metric="cosine", weights="distance")
    return np.asarray(model.fit(learnt, labels).predict_proba(asked), np.float64)
