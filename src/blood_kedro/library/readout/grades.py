"""Grades of red-cell morphology: 1+ few, 2+ moderate, 3+ many, from the percent of red cells.

The only place where thresholds stand. ICSH 2015: Palmer L, Briggs C, McFadden S, et al., Int J Lab Hematol
2015;37:287-303, table of grading, which knows 1+ for schistocytes alone. The rows below were written down FROM MEMORY
of that table; nobody of this project has had the paper at hand, so `checked` is False in each
(docs/read_out.md#grades).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["none", "1+", "2+", "3+"]
ICSH_2015 = "ICSH 2015 (Palmer et al., Int J Lab Hematol 37:287-303)"


@dataclass(frozen=True)
class Thresholds:
    """When a shape is graded.

    Attributes:
        shape: class of the taxonomy, or `anisocytosis`.
        icsh_name: what ICSH calls it.
        moderate: 2+ from this percent of red cells on.
        many: 3+ above this percent.
        few: whether there is a 1+ below, for any cell at all.
        source: of the thresholds.
        checked: whether somebody has compared them with the source.
    """

    shape: str
    icsh_name: str
    moderate: float
    many: float
    few: bool = False
    source: str = ICSH_2015
    checked: bool = False


THRESHOLDS = (
    Thresholds("anisocytosis", "anisocytosis", 11, 20),
    Thresholds("macrocyte", "macrocytes", 11, 20),
    Thresholds("microcyte", "microcytes", 11, 20),
    Thresholds("hypochromia", "hypochromic cells", 11, 20),
    Thresholds("burr_cell", "echinocytes", 5, 20),
    Thresholds("elliptocyte", "elliptocytes", 5, 20),
    Thresholds("ovalocyte", "ovalocytes", 5, 20),
    Thresholds("spherocyte", "spherocytes", 5, 20),
    Thresholds("stomatocyte", "stomatocytes", 5, 20),
    Thresholds("target_cell", "target cells", 5, 20),
    Thresholds("teardrop", "teardrop cells", 5, 20),
    Thresholds("sickle_cell", "sickle cells", 1, 2),
    Thresholds("schistocyte", "schistocytes", 1, 2, few=True),
)
_BY_SHAPE = {each.shape: each for each in THRESHOLDS}


def thresholds_of(shape: str) -> Thresholds | None:
    """When a shape is graded; None for shapes that are not (normal cells, and what fits no class)."""
    return _BY_SHAPE.get(shape)


def grade_of(shape: str, percent: float) -> Grade | None:
    """Grade of a shape at a percent of red cells, which is not rounded before; None where it is not graded."""
    limits = thresholds_of(shape)
    if limits is None:
        return None
    if percent > limits.many:
        return "3+"
    if percent >= limits.moderate:
        return "2+"
    return "1+" if limits.few and percent > 0 else "none"
