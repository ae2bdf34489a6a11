"""Losses of classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def class_weights(counts: Tensor, cells: int) -> Tensor:
    """Weight of each class, `(C,) float32`: cells over classes times cells of the class; 0 for a class without.

    Equation 1 of Elmanna et al. 2024, and what scikit-learn calls balanced.

    Args:
        counts: `(C,)`, cells of each class, or sums of their probabilities.
        cells: all of them.
    """
    weights = cells / (len(counts) * counts.clamp(min=1e-9))
    return torch.where(counts > 0, weights, torch.zeros_like(weights)).float()


class ClassWeighted(nn.Module):
    """Cross-entropy in which each cell counts as much as its class weighs, then the mean over the cells of a batch.

    So does Keras' `class_weight` (Elmanna et al. 2024, section 4.3). torch's own mean divides by the weights of the
    batch instead: a cell of a rare class would then weigh less where the batch has several of them.

    Args:
        weight: `(C,)`, of each class.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._each = nn.CrossEntropyLoss(weight, reduction="none")

    def forward(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Mean over the batch of logits `(N, C)` against classes `(N,)` or their probabilities `(N, C)`."""
        loss: Tensor = self._each(logits, wanted).mean()
        return loss
