"""A chart of a page: what plotly.js draws, and its data as CSV; all inside the page, which stays one file."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs


@dataclass(frozen=True)
class Chart:
    """A chart: its name, what plotly.js draws, and its data.

    Attributes:
        name: of the file that the data are saved as.
        figure: needs `plotly_packed` once on the page.
        data: one row per mark.
    """

    name: str
    figure: go.Figure
    data: pd.DataFrame

    @property
    def height_px(self) -> int:
        """Room that it takes."""
        return int(self.figure.layout.height)

    @property
    def json_of_page(self) -> str:
        """The figure as JSON that may stand inside a `script` of a page, whatever names it holds."""
        return str(self.figure.to_json()).replace("<", "\\u003c")

    @property
    def csv(self) -> str:
        """The data as an address that holds them: the page stays one file."""
        return data_address(self.data)


def data_address(table: pd.DataFrame) -> str:
    """A table as a `data:` address of a CSV file."""
    return "data:text/csv;base64," + base64.b64encode(table.to_csv(index=False).encode()).decode("ascii")


def plotly_packed() -> str:
    """plotly.js to be put into the page, as a report needs no network: gzip in base64, 2 MB in place of 5."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode("ascii")
