"""Whether there are corrections enough to learn from, and to judge by."""

from __future__ import annotations

import pandas as pd

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.corrections.options import RetrainOptions


def check(examples: pd.DataFrame, options: RetrainOptions, where: str) -> None:
    """Whether there is enough to learn from, and to judge by.

    Raises:
        ConfigurationError: there is not.
    """
    cells, groups = len(examples), examples["group_id"].nunique()
    types = examples["type_after"].nunique()
    if cells < options.least_cells:
        raise ConfigurationError(
            "there are too few corrected cells to learn from",
            where=where,
            got=f"{cells} with a type that the model knows",
            expected=f"{options.least_cells} at least",
            remedy="correct or confirm more cells, the most uncertain first",
        )
    if groups < 2 or types < 2:
        raise ConfigurationError(
            "what is learnt from one picture or one type cannot be judged on another",
            where=where,
            got=f"{groups} groups of pictures, {types} types",
            expected="two at least, so that one can be held out; fields of one smear are one group",
            remedy="correct cells of more pictures, of more than one type",
        )


def check_judged(examples: pd.DataFrame, where: str) -> None:
    """Whether a model can be judged on cells that the one it is started from has not seen.

    Args:
        examples: of these alone.
        where: folder of the corrections.

    Raises:
        ConfigurationError: they are of fewer than two groups.
    """
    if examples["group_id"].nunique() < 2:
        raise ConfigurationError(
            "the model that is started from has learnt from these corrections: none is left to judge by",
            where=where,
            got=f"{len(examples)} new cells",
            expected="new cells of two groups of pictures",
            remedy="start from the model that ships (no folder of models), and learn from all corrections",
        )
