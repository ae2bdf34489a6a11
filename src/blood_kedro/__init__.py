"""blood-kedro: five published blood-smear systems that run, compare and can be trusted on public data."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load(name: str) -> Any:  # noqa: ANN401 - each model has its own class
    """A model that comes with the project, ready to predict (docs/own_images.md).

    `cells`, `scale`, `white_cells` or `red_cell_shapes`.

    Raises:
        ConfigurationError: there is no such model.
        DataContractError: its files are incomplete.
        UnsafeFileError: its weights are not those that were shipped.
    """
    from blood_kedro.library.shipped.load import load as load_shipped

    return load_shipped(name)
