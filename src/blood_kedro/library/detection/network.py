"""Build Faster R-CNN from options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from blood_kedro.library.detection.backbones import DETECTOR_BACKBONES, norm_layer
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models.detection import FasterRCNN

    from blood_kedro.library.detection.options import Network

# torchvision's own, one size for each of five levels.
_DEFAULT_ANCHORS_PX = (32, 64, 128, 256, 512)
_RATIOS = (0.5, 1.0, 2.0)

# Width and height of each anchor, px of the network's input.
Anchors = Sequence[Sequence[float]]


def build_network(
    options: Network,
    num_classes: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    anchors: Anchors | None = None,
) -> FasterRCNN:
    """Faster R-CNN with random weights.

    Args:
        options: architecture.
        num_classes: classes including background (25 in Sahay 2025).
        mean: of each channel, images in 0..1; normalisation is applied once, by the network's own transform.
        std: likewise.
        anchors: of `anchors.fit_anchors`; None for sizes and ratios as torchvision has them.
    """
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

    network = FasterRCNN(
        DETECTOR_BACKBONES[options.backbone].build(options.norm, options.fpn_channels),
        num_classes,
        min_size=options.input_px,
        max_size=options.input_px,
        image_mean=list(mean),
        image_std=list(std),
        rpn_anchor_generator=_anchors(options, anchors),
        rpn_pre_nms_top_n_train=options.proposals_train,
        rpn_pre_nms_top_n_test=options.proposals_test,
        rpn_post_nms_top_n_train=options.proposals_train,
        rpn_post_nms_top_n_test=options.proposals_test,
        box_batch_size_per_image=options.roi_samples,
        box_detections_per_img=options.detections_per_image,
        **(_second_version(options) if options.backbone == "resnet50_fpn_v2" else {}),
    )
    if options.representation != 1024 and options.backbone != "resnet50_fpn_v2":
        network.roi_heads.box_head = TwoMLPHead(options.fpn_channels * 7 * 7, options.representation)
        network.roi_heads.box_predictor = FastRCNNPredictor(options.representation, num_classes)
    for part in (network.backbone, network.rpn.head, network.roi_heads.box_predictor):
        part.register_forward_hook(_in_single_precision)
    return network


def imagenet_normalization(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, images in 0..1, that a backbone's ImageNet weights were trained with."""
    return DETECTOR_BACKBONES[backbone].normalization


def _in_single_precision(module: nn.Module, inputs: Any, outputs: Any) -> Any:  # noqa: ANN401, ARG001
    """What a part of the network puts out as float32, whatever mixed precision made of it.

    torchvision gives anchors and boxes the type of features and regression. In bfloat16, a coordinate above 128 px is
    rounded to whole pixels and above 256 px to even ones, and small boxes collapse (their loss is then NaN).
    """
    if isinstance(outputs, dict):
        return {level: feature.float() for level, feature in outputs.items()}
    return tuple([level.float() for level in part] if isinstance(part, list) else part.float() for part in outputs)


def _second_version(options: Network) -> dict[str, Any]:
    """What torchvision's `fasterrcnn_resnet50_fpn_v2` has besides its backbone (Li et al., 2021, arXiv 2111.11429)."""
    from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
    from torchvision.models.detection.rpn import RPNHead

    head = FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=norm_layer(options.norm))
    return {"rpn_head": RPNHead(256, len(_RATIOS), conv_depth=2), "box_head": head}


def _anchors(options: Network, fitted: Anchors | None) -> nn.Module:
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = options.anchor_sizes_px or _DEFAULT_ANCHORS_PX
    # MobileNet's pyramid has three levels (stride 16 and 32 twice): each looks for every size.
    every_size = options.backbone == "mobilenet_v3_320"
    levels = (sizes,) * 3 if every_size else tuple((size,) for size in sizes)
    generator = AnchorGenerator(levels, (_RATIOS,) * len(levels))
    if fitted is not None:
        corners = torch.tensor(fitted, dtype=torch.float32)
        centred = torch.cat([-corners, corners], dim=1) / 2
        # As many at each place as before, so that an RPN head trained with other anchors still fits.
        generator.cell_anchors = [centred] * 3 if every_size else list(centred.split(len(_RATIOS)))
    module: nn.Module = generator
    return module


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Layers that keep running statistics."""
    from torch import nn

    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
