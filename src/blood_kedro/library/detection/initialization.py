"""First weights of a detector: random, COCO, or another training. A missing download is an error, never random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.options import Initialization, Network

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models.detection import FasterRCNN

# Layers whose shape depends on the classes: they always start at random.
_CLASS_LAYERS = ("roi_heads.box_predictor.",)


@dataclass(frozen=True)
class Initialized:
    """A network and where its weights came from, in words that a report can print."""

    network: FasterRCNN
    origin: str


def initialize(
    options: Network,
    initialization: Initialization,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pretrained: ModelBundle | None = None,
) -> Initialized:
    """Build a network and give it its first weights.

    Args:
        options: architecture.
        initialization: where weights come from.
        num_classes: classes including background.
        mean: of each channel, images in 0..1.
        std: likewise.
        pretrained: the bundle of the pre-training on generated smears, where that is the initialization.

    Raises:
        WeightsNotFoundError: weights cannot be had; says what to do.
        ConfigurationError: weights do not fit the network.
    """
    if initialization.kind == "random":
        return Initialized(build_network(options, num_classes, mean, std), "random weights")
    if initialization.kind == "coco":
        return _coco(options, initialization, num_classes, mean, std)
    if initialization.kind == "generated_smears":
        if pretrained is None:
            raise WeightsNotFoundError(
                "initialization is generated_smears, and no pre-trained bundle was handed over",
                remedy="run the whole detection_training pipeline, which pre-trains first",
            )
        bundle, origin = pretrained, "pre-training on generated smears (no COCO, no real images)"
    else:
        folder = Path(str(initialization.path))
        if not (folder / "weights.safetensors").is_file():
            raise WeightsNotFoundError(
                "initialization is checkpoint, and there is no model bundle",
                where=str(folder.absolute()),
                expected="weights.safetensors and config.json",
                remedy="point initialization.path at data/06_models/<regimen> of an earlier run",
            )
        bundle, origin = load_bundle(folder), f"checkpoint {folder.name}"
    network = build_network(options, num_classes, mean, std)
    _load(network, bundle.weights, origin)
    return Initialized(network, origin)


def _coco(
    options: Network, initialization: Initialization, num_classes: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Initialized:
    if options.backbone != "resnet50_fpn":
        raise ConfigurationError(
            "COCO weights exist for backbone resnet50_fpn only", got=options.backbone, where="network.backbone"
        )
    if options.norm != "frozen_batch":
        raise ConfigurationError(
            "COCO weights were trained with frozen batch norm",
            where="network.norm",
            got=options.norm,
            expected="frozen_batch",
        )
    network = build_network(options, num_classes, mean, std)
    if initialization.path:
        weights = _file_weights(Path(initialization.path))
        origin = f"COCO weights from file {Path(initialization.path).name}"
    else:
        weights = _downloaded_coco()
        origin = "COCO weights (torchvision FasterRCNN_ResNet50_FPN_Weights.COCO_V1)"
    _load(network, weights, origin)
    return Initialized(network, origin)


def _downloaded_coco() -> dict[str, Tensor]:
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    weights = FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsNotFoundError(
            "COCO weights cannot be downloaded, and random weights are not put in their place",
            where=weights.url,
            got=f"{type(error).__name__}: {error}",
            remedy=(
                "download that file elsewhere and set initialization.path to it; or choose "
                "initialization.kind: generated_smears or random"
            ),
        ) from error


def _file_weights(path: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsNotFoundError(
            "the file of COCO weights does not exist", where=str(path.absolute()), remedy="correct initialization.path"
        )
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _load(network: FasterRCNN, weights: dict[str, Tensor], origin: str) -> None:
    """Load all but the class layers.

    Raises:
        ConfigurationError: a layer is missing or has another shape.
    """
    own = network.state_dict()
    # Files of batch-norm networks carry batch counters, which frozen layers do not have and nobody needs.
    kept = {
        name: value
        for name, value in weights.items()
        if not name.startswith(_CLASS_LAYERS) and (name in own or not name.endswith("num_batches_tracked"))
    }
    wrong = [name for name, value in kept.items() if name not in own or own[name].shape != value.shape]
    absent = [
        name
        for name in own
        if name not in kept and not name.startswith(_CLASS_LAYERS) and not name.endswith("num_batches_tracked")
    ]
    if wrong or absent:
        raise ConfigurationError(
            f"weights do not fit the network ({origin})",
            got=f"{len(wrong)} layers unknown or of another shape, {len(absent)} without weights",
            expected=f"for instance {(wrong + absent)[0]}",
            remedy="use the same network options that the weights were trained with",
        )
    network.load_state_dict(kept, strict=False)
