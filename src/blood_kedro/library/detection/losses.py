"""The losses a regimen asks for, put into its network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torchvision.models.detection import FasterRCNN

from blood_kedro.library.core.taxonomy import labelled_by
from blood_kedro.library.detection.balance import class_balanced_weights
from blood_kedro.library.detection.partial_labels import Losses, accepted_classes, never_labelled, with_losses

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import Recipe

# Exponent of the focal loss that its paper found best (Lin et al., ICCV 2017, Table 1b).
_FOCUS = 2.0


def asks_for_partial_labels(recipe: Recipe) -> bool:
    """Whether anything differs from torchvision's own losses."""
    return recipe.ignore_regions or recipe.label_space == "source_aware" or recipe.head_loss != "cross_entropy"


def with_regimen_losses(network: FasterRCNN, recipe: Recipe, train: dict[str, Any]) -> FasterRCNN:
    """The network, changed in place to train with the losses of a regimen; `train` is the training COCO json."""
    classes = [category["name"] for category in train["categories"]]
    source_aware = recipe.label_space == "source_aware"
    balanced = recipe.head_loss == "class_balanced"
    losses = Losses(
        accepted=accepted_classes(classes, source_aware=source_aware),
        never_labelled=never_labelled(classes, labelled_by(train), source_aware=source_aware),
        class_weights=torch.from_numpy(class_balanced_weights(train)) if balanced else torch.ones(len(classes) + 1),
        focus=_FOCUS if recipe.head_loss == "focal" else 0.0,
        use_regions=recipe.ignore_regions,
    )
    return with_losses(network, losses)
