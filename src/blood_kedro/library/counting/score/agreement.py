"""How well predicted masks agree with reference masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from blood_kedro.library.counting.pieces import Piece, overlaps


@dataclass(frozen=True)
class Agreement:
    """Masks matched one to one at an IoU, and how many there are on either side."""

    matched: int
    predicted: int
    reference: int

    @property
    def f1(self) -> float:
        """2 matched / (predicted + reference); 1 where both are empty."""
        total = self.predicted + self.reference
        return 2 * self.matched / total if total else 1.0


def agree(predicted: Sequence[Piece], reference: Sequence[Piece], min_iou: float) -> Agreement:
    """Match masks one to one so that the most pairs reach an IoU (largest total IoU among those)."""
    areas, others = [each.area_px2 for each in predicted], [each.area_px2 for each in reference]
    iou = np.zeros((len(predicted), len(reference)))
    for (i, j), shared in overlaps(predicted, reference).items():
        iou[i, j] = shared / (areas[i] + others[j] - shared)
    good = np.where(iou >= min_iou, 1 + iou, 0.0)
    rows, columns = linear_sum_assignment(-good)
    return Agreement(int((good[rows, columns] > 0).sum()), len(predicted), len(reference))
