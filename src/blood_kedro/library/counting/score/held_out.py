"""Which images of a source may judge a count: those that no model of it learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.counting.open.smear import Smear


@dataclass(frozen=True)
class HeldOut:
    """Smears that judge: `names` of them, and `facts` for the reader: `images`, `left_out`, `parts`."""

    names: frozenset[str]
    facts: dict[str, Any]


def held_out(index: pd.DataFrame, groups: Groups, models: Sequence[Mapping[str, Any]], where: str) -> HeldOut:
    """Images of a source in whose groups is none that a model learnt from.

    Args:
        index: image index of the source; a smear has the name of its file.
        groups: of the images.
        models: what those that segment and name say of themselves.
        where: which input, for the reader.

    Raises:
        ConfigurationError: no image is left, or a model does not say what it learnt from.
    """
    learnt = frozenset[str]().union(*(groups.learnt(config) for config in models))
    image_ids = [name for name in index["image_id"] if groups.facts(str(name))["group_id"] not in learnt]
    if not image_ids:
        raise ConfigurationError(
            "no image is left to judge the count by: its models learnt from all of them",
            where=where,
            got=f"{len(index)} images",
            remedy="train the classifier with split: group, or on other sources",
        )
    paths = index.set_index("image_id")["path"].loc[image_ids]
    parts = Counter(str(groups.facts(str(name))["part"]) for name in image_ids)
    facts = {"images": len(image_ids), "left_out": len(index) - len(image_ids), "parts": dict(sorted(parts.items()))}
    return HeldOut(frozenset(Path(str(path)).stem for path in paths), facts)


def unseen(smears: Sequence[Smear], config: Mapping[str, Any] | None) -> tuple[list[Smear], list[str]]:
    """Smears of which a segmenter saw no tile, and names of the others. None: it did not learn."""
    tiles = {str(name).rpartition("/")[2] for name in (config or {}).get("learnt_from", ())}
    seen = [smear.name for smear in smears if any(place.name in tiles for place in smear.grid.places)]
    return [smear for smear in smears if smear.name not in seen], seen
