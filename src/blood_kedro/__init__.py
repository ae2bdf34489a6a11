"""blood-kedro: five published blood-smear systems that run, compare and can be trusted on public data."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load(name: str) -> Any:  # noqa: ANN401 - each model has its own class
    """A model that comes with the project, ready to predict: `cells` or `scale` (docs/own_images.md).

    Raises:
        ConfigurationError: there is no such model.
        DataContractError: its files are incomplete.
        UnsafeFileError: its weights are not those that were shipped.
    """
    from blood_kedro.library.shipped.load import load as load_shipped

    return load_shipped(name)
