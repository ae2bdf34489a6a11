"""Losses of classifiers."""

from __future__ import annotations

from torch import Tensor, nn


class ClassWeighted(nn.Module):
    """Cross-entropy in which each cell counts as much as its class weighs, then the mean over the cells of a batch.

    So does Keras' `class_weight` (paper 003, section 4.3). torch's own mean divides by the weights of the batch
    instead: a cell of a rare class would then weigh less where the batch has several of them.

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
