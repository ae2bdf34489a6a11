"""Numbers of cells as people say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blood_kedro.library.core.taxonomy import COARSE

_NAMES = {"rbc": "red cell", "wbc": "white cell", "platelet": "platelet"}


def name_of(kind: str) -> str:
    """Of `rbc`, `wbc` or `platelet`."""
    return _NAMES[kind]


def in_words(counts: Mapping[Any, Any]) -> str:
    """Numbers of red cells, white cells and platelets: `1,203 red cells, 1 white cell, 0 platelets`."""
    return ", ".join(f"{counts[kind]:,.0f} {_NAMES[kind]}{'' if counts[kind] == 1 else 's'}" for kind in COARSE)
