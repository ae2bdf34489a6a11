"""First weights of a detector: random, COCO, or another training. A missing download is an error, never random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle
from blood_kedro.library.core.weights import read_weights
from blood_kedro.library.detection.backbones import DETECTOR_BACKBONES
from blood_kedro.library.detection.network import Anchors, build_network
from blood_kedro.library.training.weight_kinds import refuse_impossible

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models import WeightsEnum
    from torchvision.models.detection import FasterRCNN

    from blood_kedro.library.detection.options import Network
    from blood_kedro.library.training.first_weights import FirstWeights

# Layers whose shape depends on the classes: they always start at random.
_CLASS_LAYERS = ("roi_heads.box_predictor.",)
_COUNTER = "num_batches_tracked"

_ON_COCO = ("resnet50_fpn", "resnet50_fpn_v2", "mobilenet_v3_320")

# Stages of a ResNet as torchvision counts those that learn, from the last.
_STAGES = ("layer4", "layer3", "layer2", "layer1", "conv1")


@dataclass(frozen=True)
class Initialized:
    """A network, where its weights came from, and what the bundle they are from says of itself."""

    network: FasterRCNN
    origin: str
    config: dict[str, Any] | None = None


def initialize(
    options: Network,
    first_weights: FirstWeights,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pretrained: ModelBundle | None = None,
    anchors: Anchors | None = None,
) -> Initialized:
    """Build a network and give it its first weights.

    Args:
        options: architecture.
        first_weights: where they come from.
        num_classes: classes including background.
        mean: of each channel, images in 0..1.
        std: likewise.
        pretrained: the bundle of the pre-training on generated smears or of an MLflow run, where they are
            to come from one of these.
        anchors: fitted anchors, where the network has them.

    Raises:
        WeightsNotFoundError: weights cannot be had; says what to do.
        UnsafeFileError: the file of weights holds more than tensors.
        ConfigurationError: weights do not fit the network, or a detector cannot have them.
    """
    refuse_impossible(first_weights.kind, "detector")
    network = build_network(options, num_classes, mean, std, anchors)
    if first_weights.kind == "random":
        return Initialized(network, "random weights")
    if first_weights.trainable_layers is not None:
        _freeze(network.backbone.body, first_weights.trainable_layers)
    if first_weights.kind == "coco":
        weights, origin = _coco(options, first_weights)
        _load(network, weights, origin, _CLASS_LAYERS)
    elif first_weights.kind == "imagenet":
        weights, origin = _imagenet(options, first_weights)
        _load(network.backbone.body, weights, origin, ())
    else:
        bundle, origin = _bundle(first_weights, pretrained)
        _load(network, bundle.weights, origin, _CLASS_LAYERS)
        return Initialized(network, origin, bundle.config)
    return Initialized(network, origin)


def _freeze(body: nn.Module, learning: int) -> None:
    """Keep the weights of all but the last stages of a ResNet, as torchvision's `_resnet_fpn_extractor` does."""
    names = _STAGES[:learning] + (("bn1",) if learning == len(_STAGES) else ())
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(name.startswith(names))


def _bundle(first_weights: FirstWeights, pretrained: ModelBundle | None) -> tuple[ModelBundle, str]:
    if first_weights.path is None:
        run = first_weights.run
        if pretrained is None:
            raise WeightsNotFoundError(
                f"first weights are to be of kind {first_weights.kind}, and no pre-trained bundle was handed over",
                remedy="run the detection_training pipeline, which pre-trains (or fetches the run's model) first",
            )
        origin = (
            f"checkpoint of MLflow run {run}" if run else "pre-training on generated smears (no COCO, no real images)"
        )
        return pretrained, origin
    folder = Path(first_weights.path)
    if not (folder / "weights.safetensors").is_file():
        raise WeightsNotFoundError(
            "first weights are to come from a checkpoint, and there is no model bundle",
            where=str(folder.absolute()),
            expected="weights.safetensors and config.json",
            remedy="point first_weights.path at data/06_models/<regimen> of an earlier run",
        )
    return load_bundle(folder), f"checkpoint {folder.name}"


def _coco(options: Network, first_weights: FirstWeights) -> tuple[dict[str, Tensor], str]:
    if options.backbone not in _ON_COCO:
        raise ConfigurationError(
            "COCO weights do not exist for this backbone",
            where="network.backbone",
            got=options.backbone,
            expected=", ".join(_ON_COCO),
        )
    if options.norm == "group":
        raise ConfigurationError(
            "COCO weights were trained with batch norm",
            where="network.norm",
            got="group",
            expected="frozen_batch or batch",
        )
    if first_weights.path:
        return file_weights(Path(first_weights.path)), f"COCO weights from file {Path(first_weights.path).name}"
    weights = _coco_weights(options.backbone)
    return _downloaded(weights), f"COCO weights (torchvision {weights})"


def _coco_weights(backbone: str) -> WeightsEnum:
    from torchvision.models import detection

    return {
        "resnet50_fpn": detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
        "resnet50_fpn_v2": detection.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
        "mobilenet_v3_320": detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    }[backbone]


def _imagenet(options: Network, first_weights: FirstWeights) -> tuple[dict[str, Tensor], str]:
    """Weights of the body: those of a classifier without its last layers."""
    backbone = DETECTOR_BACKBONES[options.backbone]
    if options.norm == "group":
        raise ConfigurationError(
            "ImageNet weights were trained with batch norm",
            where="network.norm",
            got="group",
            expected="frozen_batch or batch",
        )
    if first_weights.path:
        weights, origin = file_weights(Path(first_weights.path)), f"file {Path(first_weights.path).name}"
    else:
        weights, origin = backbone.imagenet(_downloaded)
    return backbone.body_of(weights), f"ImageNet weights of the backbone ({origin})"


def _downloaded(weights: WeightsEnum) -> dict[str, Tensor]:
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsNotFoundError(
            f"{weights} cannot be downloaded, and random weights are not put in their place",
            where=weights.url,
            got=f"{type(error).__name__}: {error}",
            remedy=(
                "download that file elsewhere and set first_weights.path to it; or choose "
                "first_weights.kind: simulated or random"
            ),
        ) from error


def file_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a safetensors file or a torch checkpoint. No other object of a pickle is ever made.

    Raises:
        WeightsNotFoundError: there is no such file.
        UnsafeFileError: it holds anything but tensors.
        DataContractError: it is cut or damaged, or holds values that are no numbers.
    """
    return read_weights(path, "correct first_weights.path, or take the file from where it came from again")


def _load(module: Any, weights: dict[str, Tensor], origin: str, class_layers: tuple[str, ...]) -> None:  # noqa: ANN401
    """Load all but the class layers into a network, or a part of one.

    Raises:
        ConfigurationError: a layer is missing or has another shape.
    """
    state = module.state_dict()
    # Files of batch-norm networks carry batch counters, which frozen layers do not have and nobody needs.
    loadable = {
        name: value
        for name, value in weights.items()
        if not (class_layers and name.startswith(class_layers)) and (name in state or not name.endswith(_COUNTER))
    }
    wrong = [name for name, value in loadable.items() if name not in state or state[name].shape != value.shape]
    absent = [
        name
        for name in state
        if name not in loadable and not (class_layers and name.startswith(class_layers)) and not name.endswith(_COUNTER)
    ]
    if wrong or absent:
        raise ConfigurationError(
            f"weights do not fit the network ({origin})",
            got=f"{len(wrong)} layers unknown or of another shape, {len(absent)} without weights",
            expected=f"for instance {(wrong + absent)[0]}",
            remedy="use the same network options that the weights were trained with",
        )
    module.load_state_dict(loadable, strict=False)
