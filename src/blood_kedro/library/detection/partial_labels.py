"""Faster R-CNN on images of which only part is labelled.

Three things that a plain detector takes for background are none:

- a visible cell that nobody labelled (an ignore region): anchors and proposals on it take no part in negatives, as
  COCO treats crowds;
- a class that the image's source never labels (PBC shows dozens of red cells and labels none): a proposal that matches
  no label is background *or* one of those classes, and the loss is minus the logarithm of the sum of their
  probabilities (Zhao et al., Object detection with a unified label space from multiple datasets, ECCV 2020);
- a coarse label (`rbc`): it is right for the class itself and for every class below it, again by the sum of their
  probabilities (learning from ambiguous labels: Cour, Sapp and Taskar, JMLR 12, 2011).

With no ignore region, a source that labels everything, and fine labels, each sum has one member and the loss is
torchvision's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import box_area, box_iou
from torchvision.ops.boxes import _box_inter_union

from blood_kedro.library.core.taxonomy import is_a, is_labelled

Target = dict[str, Tensor]

# An anchor or proposal that lies by half on a region, or matches it this well, is on it.
_ON_REGION_SHARE, _ON_REGION_IOU = 0.5, 0.3


def on_regions(boxes: Tensor, regions: Tensor) -> Tensor:
    """Which boxes `(N, 4)` lie on one of the regions `(K, 4)` (both xyxy px): `(N,) bool`."""
    if len(boxes) == 0 or len(regions) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    inside = _box_inter_union(boxes, regions)[0] / box_area(boxes)[:, None].clamp(min=1e-6)
    on: Tensor = ((inside >= _ON_REGION_SHARE) | (box_iou(boxes, regions) >= _ON_REGION_IOU)).any(dim=1)
    return on


def accepted_classes(classes: Sequence[str], *, source_aware: bool) -> Tensor:
    """Which classes are right for each label, `(C + 1, C + 1) bool`; row and column 0 are background.

    A row holds the class itself and, if `source_aware`, all classes below it.
    """
    accepted = torch.eye(len(classes) + 1, dtype=torch.bool)
    for row, label in enumerate(classes, start=1):
        for column, name in enumerate(classes, start=1):
            accepted[row, column] = name == label or (source_aware and is_a(name, label))
    return accepted


def never_labelled(classes: Sequence[str], labelled: Mapping[str, Sequence[str]], *, source_aware: bool) -> Tensor:
    """Classes that each source never labels, `(sources + 1, C + 1) bool`.

    Rows are as in `labelled` (`taxonomy.labelled_by`), the last is for any other. Column 0, background, is always
    False; so is everything unless `source_aware`.
    """
    table = torch.zeros((len(labelled) + 1, len(classes) + 1), dtype=torch.bool)
    for row, roots in enumerate(labelled.values() if source_aware else []):
        for column, name in enumerate(classes, start=1):
            table[row, column] = not is_labelled(name, roots)
    return table


@dataclass(frozen=True)
class Losses:
    """What a detector is taught.

    Attributes:
        accepted: of `accepted_classes`.
        never_labelled: of `never_labelled`.
        class_weights: `(C + 1,)`, weight of a proposal by its label.
        focus: exponent of the focal loss (Lin et al., ICCV 2017); 0 for cross-entropy.
        use_regions: keep ignore regions out of the negatives.
    """

    accepted: Tensor
    never_labelled: Tensor
    class_weights: Tensor
    focus: float = 0.0
    use_regions: bool = True


class RegionTransform(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's resizing, with ignore regions (`ignore`) moved along."""

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize image, boxes and regions alike."""
        before = [int(v) for v in image.shape[-2:]]
        regions = None if target is None else target.get("ignore")
        image, target = super().resize(image, target)
        if target is not None and regions is not None:
            target["ignore"] = resize_boxes(regions, before, [int(v) for v in image.shape[-2:]])
        return image, target


class PartialRPN(RegionProposalNetwork):  # type: ignore[misc]
    """A region proposal network that learns nothing from anchors on ignore regions, where `use_regions` is set."""

    use_regions: bool

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As torchvision's; negatives on a region become -1, which the sampler passes over."""
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, boxes, target in zip(labels, anchors, targets, strict=True):
            if self.use_regions:
                label[(label == 0) & on_regions(boxes, target["ignore"])] = -1
        return labels, matched


class PartialHeads(RoIHeads):  # type: ignore[misc]
    """Box heads with the loss of this module; torchvision's own where targets say nothing else.

    Targets hold `ignore` `(K, 4)` and the number of their `source`, as `DetectionData` gives them. `losses` says what
    is made of them.
    """

    losses: Losses
    _regions: list[Tensor]

    def select_training_samples(
        self, proposals: list[Tensor], targets: list[Target] | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """As torchvision's, with regions at hand for `assign_targets_to_proposals`."""
        self._regions = [target["ignore"] for target in targets or []]
        chosen: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]] = super().select_training_samples(
            proposals, targets
        )
        return chosen

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As torchvision's; background on a region becomes -1, which the sampler passes over."""
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, boxes, regions in zip(labels, proposals, self._regions, strict=True):
            if self.losses.use_regions:
                label[(label == 0) & on_regions(boxes, regions)] = -1
        return matched, labels

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Detections, or in training the two losses."""
        if not self.training or targets is None:
            cells: tuple[list[Target], dict[str, Tensor]] = super().forward(features, proposals, image_shapes, targets)
            return cells
        proposals, _, labels, regression_targets = self.select_training_samples(proposals, targets)
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        right = torch.cat([self._right(label, target) for label, target in zip(labels, targets, strict=True)])
        losses = partial_label_loss(
            logits,
            deltas,
            torch.cat(labels),
            right,
            torch.cat(regression_targets),
            self.losses.class_weights.to(logits.device),
            self.losses.focus,
        )
        return [], dict(zip(("loss_classifier", "loss_box_reg"), losses, strict=True))

    def _right(self, labels: Tensor, target: Target) -> Tensor:
        """Which classes are right for each proposal, `(N, C + 1) bool`."""
        right = self.losses.accepted.to(labels.device)[labels]
        right[labels == 0] |= self.losses.never_labelled.to(labels.device)[target["source"]]
        return right


def partial_label_loss(
    logits: Tensor,
    deltas: Tensor,
    labels: Tensor,
    right: Tensor,
    regression_targets: Tensor,
    class_weights: Tensor,
    focus: float,
) -> tuple[Tensor, Tensor]:
    """Classification and box loss of sampled proposals.

    The classification loss is the weighted mean of `(1 - p)^focus * -log p`, p being the summed probability of the
    classes that are right. The box loss is torchvision's (smooth L1, beta 1/9), on the box of the most probable right
    class.

    Args:
        logits: `(N, C + 1)`.
        deltas: `(N, 4 (C + 1))`.
        labels: `(N,)`, 0 for background.
        right: `(N, C + 1) bool`, at least one of each row.
        regression_targets: `(N, 4)`.
        class_weights: `(C + 1,)`, by label.
        focus: exponent of the focal loss; 0 for cross-entropy.
    """
    log_p = functional.log_softmax(logits, dim=1).masked_fill(~right, -torch.inf)
    log_right = torch.logsumexp(log_p, dim=1)
    weight = class_weights[labels]
    if focus:
        weight = weight * (1 - log_right.exp()).clamp(min=0) ** focus
        classification = -(weight * log_right).sum() / class_weights[labels].sum().clamp(min=1e-6)
    else:
        classification = -(weight * log_right).sum() / weight.sum().clamp(min=1e-6)
    positive = torch.where(labels > 0)[0]
    best = log_p[positive].detach().argmax(dim=1)
    boxes = deltas.reshape(len(labels), -1, 4)[positive, best]
    box = functional.smooth_l1_loss(boxes, regression_targets[positive], beta=1 / 9, reduction="sum")
    return classification, box / max(labels.numel(), 1)


def with_losses(network: FasterRCNN, losses: Losses) -> FasterRCNN:
    """The same network, changed in place to be taught by `losses`; the names of its weights stay the same."""
    old, heads = network.rpn, network.roi_heads
    network.transform = RegionTransform(
        network.transform.min_size,
        network.transform.max_size,
        network.transform.image_mean,
        network.transform.image_std,
    )
    network.rpn = PartialRPN(
        old.anchor_generator,
        old.head,
        old.proposal_matcher.high_threshold,
        old.proposal_matcher.low_threshold,
        old.fg_bg_sampler.batch_size_per_image,
        old.fg_bg_sampler.positive_fraction,
        {"training": old._pre_nms_top_n["training"], "testing": old._pre_nms_top_n["testing"]},
        {"training": old._post_nms_top_n["training"], "testing": old._post_nms_top_n["testing"]},
        old.nms_thresh,
        old.score_thresh,
    )
    network.roi_heads = PartialHeads(
        heads.box_roi_pool,
        heads.box_head,
        heads.box_predictor,
        heads.proposal_matcher.high_threshold,
        heads.proposal_matcher.low_threshold,
        heads.fg_bg_sampler.batch_size_per_image,
        heads.fg_bg_sampler.positive_fraction,
        None,
        heads.score_thresh,
        heads.nms_thresh,
        heads.detections_per_img,
    )
    network.rpn.use_regions, network.roi_heads.losses = losses.use_regions, losses
    return network
