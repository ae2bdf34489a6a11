"""Types of libraries that are slow to import, for annotations of nodes, which Kedro reads when it lists pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = Any

__all__ = ["Figure"]
