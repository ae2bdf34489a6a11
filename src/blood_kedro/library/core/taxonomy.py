"""The one hierarchy of blood-cell classes, and how the labels of every source map into it.

A class is named once, here. A label may be coarse (`rbc`, when a source does not tell shapes apart) or fine
(`teardrop`); `is_a` and `roll_up` relate the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blood_kedro.library.core.errors import UnknownLabelError

# child -> parent; the roots have None
PARENT: dict[str, str | None] = {
    "wbc": None,
    "lymphocyte": "wbc",
    "monocyte": "wbc",
    "eosinophil": "wbc",
    "basophil": "wbc",
    "neutrophil": "wbc",
    "band_neutrophil": "neutrophil",
    "segmented_neutrophil": "neutrophil",
    "immature_granulocyte": "wbc",
    "promyelocyte": "immature_granulocyte",
    "myelocyte": "immature_granulocyte",
    "metamyelocyte": "immature_granulocyte",
    "erythroblast": None,
    "rbc": None,
    "normal_rbc": "rbc",
    "macrocyte": "rbc",
    "microcyte": "rbc",
    "spherocyte": "rbc",
    "target_cell": "rbc",
    "stomatocyte": "rbc",
    "ovalocyte": "rbc",
    "elliptocyte": "rbc",
    "teardrop": "rbc",
    "burr_cell": "rbc",
    "schistocyte": "rbc",
    "sickle_cell": "rbc",
    "hypochromia": "rbc",
    "uncategorized": "rbc",
    "platelet": None,
}

# One number per class, the same in every file that this project writes.
CLASS_IDS = {name: number for number, name in enumerate(PARENT, start=1)}

COARSE = ("rbc", "wbc", "platelet")

# What stands in place of a type: a classifier that is not sure enough, and one that was not asked.
UNSURE, NOT_NAMED = "other", "not named"

# The 24 classes of Sahay 2025, Table IV, in its order (left column, right column, failing classes).
SAHAY_2025 = (
    "lymphocyte",
    "neutrophil",
    "eosinophil",
    "erythroblast",
    "immature_granulocyte",
    "monocyte",
    "segmented_neutrophil",
    "rbc",
    "platelet",
    "normal_rbc",
    "target_cell",
    "spherocyte",
    "macrocyte",
    "elliptocyte",
    "sickle_cell",
    "schistocyte",
    "teardrop",
    "burr_cell",
    "ovalocyte",
    "basophil",
    "microcyte",
    "hypochromia",
    "stomatocyte",
    "uncategorized",
)

# What the classes are called among the shapes of Elmanna et al. 2024 (elmanna_2024.py), where there is a counterpart.
SHAPE_OF_LABEL = {
    "normal_rbc": "rounded_rbc",
    "ovalocyte": "ovalocyte",
    "elliptocyte": "ovalocyte",
    "teardrop": "teardrop",
    "burr_cell": "burr_cell",
    "schistocyte": "fragmented_rbc",
}

SOURCE_LABELS: dict[str, dict[str, str]] = {
    "bccd": {
        "RBC": "rbc",
        "WBC": "wbc",
        "Platelets": "platelet",
        # where `wbc_types` of the source names them
        "NEUTROPHIL": "neutrophil",
        "EOSINOPHIL": "eosinophil",
        "LYMPHOCYTE": "lymphocyte",
        "MONOCYTE": "monocyte",
        "BASOPHIL": "basophil",
    },
    "chula": {
        "0": "normal_rbc",
        "1": "macrocyte",
        "2": "microcyte",
        "3": "spherocyte",
        "4": "target_cell",
        "5": "stomatocyte",
        "6": "ovalocyte",
        "7": "teardrop",
        "8": "burr_cell",
        "9": "schistocyte",
        "10": "uncategorized",
        "11": "hypochromia",
        "12": "elliptocyte",
    },
    "pbc": {
        "BA": "basophil",
        "BNE": "band_neutrophil",
        "EO": "eosinophil",
        "ERB": "erythroblast",
        "IG": "immature_granulocyte",
        "LY": "lymphocyte",
        "MMY": "metamyelocyte",
        "MO": "monocyte",
        "MY": "myelocyte",
        "NEUTROPHIL": "neutrophil",
        "PLATELET": "platelet",
        "PMY": "promyelocyte",
        "SNE": "segmented_neutrophil",
    },
    "sickle": {"sickle_cell": "sickle_cell"},
    "synthetic": {name: name for name in PARENT},
}

# What each source labels wherever it shows, up to the ignore regions that standardization finds. PBC names the one cell
# in the middle: its red cells and platelets are never labelled, other white cells hardly ever show
# (docs/facts/data.md#pbc-cells-without-a-label). Chula labels red cells only; the sickle set marks
# sickle cells among many others.
LABELLED_BY: dict[str, tuple[str, ...]] = {
    "bccd": ("rbc", "wbc", "platelet"),
    "chula": ("rbc",),
    "pbc": ("wbc", "erythroblast"),
    "sickle": ("sickle_cell",),
    "synthetic": ("rbc", "wbc", "erythroblast", "platelet"),
}


def ancestors(label: str) -> tuple[str, ...]:
    """The label itself and everything above it, nearest first.

    Raises:
        UnknownLabelError: the label is not in the taxonomy.
    """
    if label not in PARENT:
        raise UnknownLabelError("unknown class", got=repr(label), expected=f"one of {', '.join(PARENT)}")
    chain = [label]
    while (parent := PARENT[chain[-1]]) is not None:
        chain.append(parent)
    return tuple(chain)


def is_a(label: str, ancestor: str) -> bool:
    """Whether every cell of class `label` is also an `ancestor` (a class is its own ancestor)."""
    return ancestor in ancestors(label)


def roll_up(label: str, view: Iterable[str]) -> str | None:
    """The nearest class of `view` at or above `label`, or None where the view has no place for it."""
    wanted = set(view)
    return next((name for name in ancestors(label) if name in wanted), None)


def coarse(label: str) -> str:
    """Roll up to rbc, wbc or platelet.

    An erythroblast counts as `wbc` here: it is a nucleated cell, and neither BCCD nor any three-class labeller
    sets it apart (an analyser's white count contains nucleated red cells until it is corrected for them).
    """
    return "wbc" if label == "erythroblast" else str(ancestors(label)[-1])


def labelled_by(coco: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Classes that each source labels wherever they show, by name, sorted; a COCO json may name sources of its own."""
    known: dict[str, Sequence[str]] = {**LABELLED_BY, **coco.get("labelled_by", {})}
    return dict(sorted(known.items()))


def is_labelled(label: str, roots: Iterable[str]) -> bool:
    """Whether a source that labels `roots` labels every cell of class `label`, too."""
    return any(is_a(label, root) for root in roots)


def from_source(source: str, label_raw: str, where: str = "") -> str:
    """The taxonomy class of a published source's own label; see `mapped`."""
    return mapped(SOURCE_LABELS[source], label_raw, source, where)


def mapped(labels: Mapping[str, str], label_raw: str, source: str, where: str = "") -> str:
    """The class that a source's label map has for one of its labels.

    Raises:
        UnknownLabelError: the map has no such label; `where` names the file.
    """
    if label_raw not in labels:
        raise UnknownLabelError(
            f"unknown label {label_raw!r} of source {source!r}",
            where=where,
            expected=f"one of {', '.join(labels) or 'none: labels of the source is empty'}",
        )
    return labels[label_raw]
