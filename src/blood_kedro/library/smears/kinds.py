"""Every kind of cell the simulator can draw, and the taxonomy class of each."""

from __future__ import annotations

from functools import partial

import numpy as np

from blood_kedro.library.core.errors import UnknownLabelError
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.smears import red_cells, white_cells
from blood_kedro.library.smears.artefacts import draw_precipitate
from blood_kedro.library.smears.cell import CellStyle, DrawnCell
from blood_kedro.library.smears.platelets import draw_platelet

# Taxonomy classes that stand for several kinds: one is drawn at random, and the label is the class itself.
MIXTURES: dict[str, tuple[str, ...]] = {
    "schistocyte": ("helmet", "triangle", "shard", "keratocyte"),
    "uncategorized": ("false_teardrop", "angled_rbc"),
    "neutrophil": ("band_neutrophil", "segmented_neutrophil"),
    "immature_granulocyte": ("promyelocyte", "myelocyte", "metamyelocyte"),
    "rbc": ("normal_rbc", "ovalocyte", "macrocyte", "microcyte"),
    "wbc": ("lymphocyte", "monocyte", "eosinophil", "basophil", "segmented_neutrophil"),
}

PRECIPITATE = "precipitate"
_PLATELETS = {"platelet": partial(draw_platelet, giant=False), "giant_platelet": partial(draw_platelet, giant=True)}

LABELS: dict[str, str] = {
    **{kind: family.label for kind, family in red_cells.FAMILIES.items()},
    **{kind: family.label for kind, family in white_cells.FAMILIES.items()},
    **dict.fromkeys(_PLATELETS, "platelet"),
    **{label: label for label in MIXTURES},
}


def draw(kind: str, style: CellStyle, rng: np.random.Generator) -> DrawnCell:
    """Draw one cell of a kind, or of a mixture (its `kind` then names what was drawn, its `label` the mixture).

    Raises:
        UnknownLabelError: there is no such kind.
    """
    if kind in MIXTURES:
        drawn = draw(str(rng.choice(MIXTURES[kind])), style, rng)
        return DrawnCell(drawn.kind, kind, drawn.layers, drawn.mask)
    if kind in red_cells.FAMILIES:
        return red_cells.draw_red_cell(kind, style, rng)
    if kind in white_cells.FAMILIES:
        return white_cells.draw_white_cell(kind, style, rng)
    if kind == PRECIPITATE:
        return draw_precipitate(style, rng)
    if kind in _PLATELETS:
        return _PLATELETS[kind](style, rng)
    raise UnknownLabelError("the simulator draws no such cell", got=repr(kind), expected=f"one of {', '.join(LABELS)}")


def role(kind: str) -> str:
    """`red`, `platelet` or `nucleated`: red cells stack, overlap freely and are pushed aside by nucleated ones."""
    root = coarse(LABELS[kind])
    return {"rbc": "red", "wbc": "nucleated"}.get(root, root)
