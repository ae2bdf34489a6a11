"""The classifiers that Elmanna et al. 2024 compare (timm), and their U-Net, or others (segmentation-models-pytorch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, rebuilt
from blood_kedro.library.core.weights import read_weights
from blood_kedro.library.morphology.backbones import CLASSIFIER_BACKBONES, timm_backbone
from blood_kedro.library.morphology.timm_changed import normalised
from blood_kedro.library.morphology.unet import ClassicUnet
from blood_kedro.library.training import packaged_weights
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.predict import outputs
from blood_kedro.library.training.weight_kinds import refuse_impossible

CLASSIC = "classic"

LITE0_ENCODER = f"tu-{packaged_weights.TIMM_NAME}"


def build_classifier(model: str, classes: int) -> nn.Module:
    """A classifier of `(N, 3, S, S)` images in 0..1 with random weights, by its name in `backbones.py`.

    Raises:
        KeyError: there is none of this name.
        TypeError: it is a foundation model, which is not trained.
    """
    return timm_backbone(model).build(classes)


def first_weights(network: nn.Module, model: str, weights: FirstWeights) -> str:
    """Give a classifier its first weights, all but the last layer's, and say where they came from.

    Raises:
        WeightsNotFoundError: they cannot be had; nothing falls back to random ones.
        ConfigurationError: they do not fit, or a classifier cannot have them.
    """
    refuse_impossible(weights.kind, "cell classifier")
    if weights.kind == "random":
        return "random weights"
    if weights.kind == "imagenet" and model == "efficientnet_lite0" and weights.path is None:
        _load(network, packaged_weights.efficientnet_lite0(), packaged_weights.ORIGIN)
        # A head of usual size starts at a loss far above that of guessing, and its first steps spoil the body.
        nn.init.zeros_(network.get_submodule("classifier").weight)  # type: ignore[arg-type]
        return packaged_weights.ORIGIN
    if weights.kind == "imagenet":
        _load(network, _imagenet(model, weights.path), f"ImageNet, {timm_backbone(model).timm_name}")
        return f"ImageNet weights ({weights.path or 'timm'})"
    folder = Path(str(weights.path))
    if not folder.is_dir():
        raise WeightsNotFoundError(
            "weights are to come from a checkpoint, and there is no model folder",
            where=str(folder.absolute()),
            remedy="point first_weights.path at data/06_models/<variant> of an earlier run",
        )
    _load(network, load_bundle(folder).weights, folder.name)
    return f"checkpoint {folder.name}"


def _imagenet(model: str, path: str | None) -> dict[str, Tensor]:
    import timm

    if path is not None:
        if not Path(path).is_file():
            raise WeightsNotFoundError(
                "the file of ImageNet weights does not exist", where=path, remedy="correct first_weights.path"
            )
        return read_weights(Path(path), "correct first_weights.path")
    name = timm_backbone(model).timm_name
    try:
        downloaded: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # timm and its hub raise many kinds, none of which may end in random weights
        raise WeightsNotFoundError(
            f"ImageNet weights of {name} cannot be downloaded, and random ones are not put in their place",
            got=f"{type(error).__name__}: {error}",
            remedy="download them elsewhere and set first_weights.path, or choose first_weights.kind: random",
        ) from error
    return downloaded


def _load(network: nn.Module, weights: dict[str, Tensor], origin: str) -> None:
    """Load whatever has a counterpart of the same shape; only what depends on the classes may be missing.

    Raises:
        ConfigurationError: more than the last layer is missing.
    """
    state = network.state_dict()
    renamed = {n if n in state else f"body.{n}": value for n, value in weights.items()}
    fitting = {n: v for n, v in renamed.items() if n in state and state[n].shape == v.shape}
    missing = [n for n in state if n not in fitting and not n.endswith("num_batches_tracked")]
    if len(missing) > 2:  # weight and bias of the last layer
        raise ConfigurationError(
            f"weights do not fit the network ({origin})",
            got=f"{len(missing)} layers without weights",
            expected=f"for instance {missing[0]}",
            remedy="use weights of the same model",
        )
    network.load_state_dict(fitting, strict=False)


def build_segmenter(encoder: str, weights: FirstWeights) -> tuple[nn.Module, str]:
    """U-Net of `(N, 3, S, S)` images in 0..1 to logits `(N, 1, S, S)`, sides padded to a multiple of 16 or 32 inside.

    `classic` is the plain one of `unet.py`, with random weights; any other encoder is one that
    segmentation-models-pytorch knows.

    Raises:
        ConfigurationError: there is no such encoder, or no such first weights of it.
        WeightsNotFoundError: ImageNet weights of the encoder cannot be had.
    """
    import segmentation_models_pytorch as smp

    refuse_impossible(weights.kind, "cell segmenter")
    if weights.kind == "checkpoint":
        bundle = load_bundle(Path(str(weights.path)))
        network = load_segmenter(bundle)
        return network, f"checkpoint {Path(str(weights.path)).name}"
    if encoder == CLASSIC:
        if weights.kind == "imagenet":
            raise ConfigurationError(
                "the classic U-Net has no ImageNet weights",
                where="segmenter.first_weights.kind",
                got="imagenet",
                remedy="choose first_weights.kind: random, or another encoder",
            )
        return PaddedUnet(ClassicUnet(), 16), "random weights"
    packaged = encoder == LITE0_ENCODER
    try:
        unet = smp.Unet(encoder, encoder_weights="imagenet" if weights.kind == "imagenet" and not packaged else None)
    except KeyError as error:
        raise ConfigurationError("no such encoder", where="segmenter.encoder", got=encoder) from error
    except Exception as error:
        raise WeightsNotFoundError(
            f"ImageNet weights of {encoder} cannot be downloaded, and random ones are not put in their place",
            got=f"{type(error).__name__}: {error}",
            remedy="choose segmenter.first_weights.kind: random",
        ) from error
    padded = PaddedUnet(unet, 32)
    if packaged:
        padded.register_forward_pre_hook(normalised)
    if weights.kind == "random":
        return padded, "random weights"
    if packaged:
        body = unet.encoder.model
        body.load_state_dict({n: v for n, v in packaged_weights.efficientnet_lite0().items() if n in body.state_dict()})
        return padded, f"{packaged_weights.ORIGIN}, in the encoder"
    return padded, "ImageNet weights of the encoder"


class PaddedUnet(nn.Module):
    """A U-Net for sides that are no multiple of what it needs: the border is repeated outwards and cut off again."""

    def __init__(self, unet: nn.Module, multiple: int) -> None:
        super().__init__()
        self.unet, self.multiple = unet, multiple

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)`."""
        height, width = images.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        padded = nn.functional.pad(images, (0, right, 0, down), mode="replicate")
        logits: Tensor = self.unet(padded)[..., :height, :width]
        return logits


def load_classifier(bundle: ModelBundle) -> nn.Module:
    """The classifier of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe a classifier, or the weights are not its own.
    """

    def network(config: dict[str, Any]) -> nn.Module:
        options = config["classifier"]
        return CLASSIFIER_BACKBONES[options["model"]].rebuilt(options, len(config["classes"]), bundle.weights)

    return rebuilt(bundle, network)


def load_segmenter(bundle: ModelBundle) -> nn.Module:
    """The U-Net of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe a U-Net, or the weights are not its own.
    """
    return rebuilt(bundle, lambda config: build_segmenter(str(config["segmenter"]["encoder"]), FirstWeights())[0])


def parameters_m(network: nn.Module) -> float:
    """Millions of parameters."""
    return sum(p.numel() for p in network.parameters()) / 1e6


def probabilities(network: nn.Module, loader: Any) -> Tensor:  # noqa: ANN401 - a DataLoader of CropData
    """Softmax of a classifier over all cells of a loader, `(N, classes)`."""
    return torch.cat([logits.softmax(dim=1) for logits in outputs(network, loader)])
