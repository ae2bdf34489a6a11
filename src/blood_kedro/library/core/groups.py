"""The table of groups, as pipelines ask it: which group and part an image has, and what a model has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.errors import ConfigurationError, DataContractError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Groups:
    """Group and part of every image of every enabled source.

    Attributes:
        group_of: by image.
        part_of: by group: train, val or test.
    """

    group_of: Mapping[str, str]
    part_of: Mapping[str, str]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Groups:
        """Those of a table of schema `ImageGroups`."""
        return cls(
            dict(zip(table["image_id"], table["group_id"], strict=True)),
            dict(zip(table["group_id"], table["part"], strict=True)),
        )

    def facts(self, image_id: str) -> dict[str, object]:
        """`group_id` and `part` of an image.

        Raises:
            DataContractError: the table does not know it.
        """
        group = self.group_of.get(image_id)
        if group is None:
            raise DataContractError(
                "an image is not in the table of groups, so nobody knows which others show the same field",
                where="image_groups",
                got=image_id,
                expected="a row for every image of every enabled source",
                remedy="make the table anew: kedro run --pipelines=ingestion,standardization,merging",
            )
        return {"group_id": group, "part": self.part_of[group]}

    def learnt(self, config: Mapping[str, Any]) -> frozenset[str]:
        """Groups with an image that a model learnt from; images of sources that are not enabled here have none.

        Args:
            config: of the model's bundle; its `learnt_from` is of `all_learnt_from`.

        Raises:
            ConfigurationError: the model does not say what it learnt from.
        """
        images = config.get("learnt_from")
        if images is None:
            raise ConfigurationError(
                "this model does not say which images it learnt from, so nothing can be judged by its help",
                got=f"an older model {config.get('name', '')}".strip(),
                remedy="train it again",
            )
        return frozenset(self.group_of[name] for name in images if name in self.group_of)


def all_learnt_from(images: Iterable[str], start: Mapping[str, Any] | None) -> list[str] | None:
    """Images of a training and of the model whose weights it starts from; None where that one does not say.

    Args:
        images: that are trained on, and those that the epoch or the settings are chosen by.
        start: what the model says of itself that is trained further; None starts from no images of these.
    """
    before = [] if start is None else start.get("learnt_from")
    return None if before is None else sorted({*map(str, images), *before})
