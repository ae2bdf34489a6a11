"""Build Faster R-CNN from options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from blood_kedro.library.detection.options import Network

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models.detection import FasterRCNN

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# torchvision's own, one size for each of five levels.
_DEFAULT_ANCHORS_PX = (32, 64, 128, 256, 512)


def build_network(
    options: Network,
    num_classes: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> FasterRCNN:
    """Faster R-CNN with random weights.

    Args:
        options: architecture.
        num_classes: classes including background (25 in paper 000).
        mean: of each channel, images in 0..1; normalisation is applied once, by the network's own transform.
        std: likewise.
    """
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

    network = FasterRCNN(
        _backbone(options),
        num_classes,
        min_size=options.input_px,
        max_size=options.input_px,
        image_mean=list(mean),
        image_std=list(std),
        rpn_anchor_generator=_anchors(options),
        rpn_pre_nms_top_n_train=options.proposals_train,
        rpn_pre_nms_top_n_test=options.proposals_test,
        rpn_post_nms_top_n_train=options.proposals_train,
        rpn_post_nms_top_n_test=options.proposals_test,
        box_batch_size_per_image=options.roi_samples,
        box_detections_per_img=options.detections_per_image,
    )
    if options.representation != 1024:
        network.roi_heads.box_head = TwoMLPHead(256 * 7 * 7, options.representation)
        network.roi_heads.box_predictor = FastRCNNPredictor(options.representation, num_classes)
    return network


def _norm_layer(name: str) -> Callable[[int], nn.Module]:
    from torch import nn
    from torchvision.ops.misc import FrozenBatchNorm2d

    layers: dict[str, Callable[[int], nn.Module]] = {
        "batch": nn.BatchNorm2d,
        "frozen_batch": FrozenBatchNorm2d,
        "group": lambda channels: nn.GroupNorm(8, channels),
    }
    return layers[name]


def _backbone(options: Network) -> nn.Module:
    from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone

    norm = _norm_layer(options.norm)
    if options.backbone == "mobilenet_v3_fpn":
        backbone: nn.Module = mobilenet_backbone(
            backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=norm, trainable_layers=6
        )
    else:
        name = options.backbone.removesuffix("_fpn")
        backbone = resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=norm, trainable_layers=5)
    return backbone


def _anchors(options: Network) -> nn.Module:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = options.anchor_sizes_px or _DEFAULT_ANCHORS_PX
    # MobileNet's pyramid has three levels (stride 16 and 32 twice): each looks for every size.
    levels = (sizes,) * 3 if options.backbone == "mobilenet_v3_fpn" else tuple((size,) for size in sizes)
    generator: nn.Module = AnchorGenerator(levels, ((0.5, 1.0, 2.0),) * len(levels))
    return generator


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Layers that keep running statistics."""
    from torch import nn

    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
