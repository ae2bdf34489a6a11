"""Charts of the report that answer to the mouse, each with its data as CSV."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from blood_kedro.library.core.colours import SERIES
from blood_kedro.library.core.limits import LEAST_CELLS_SHOWN
from blood_kedro.library.reporting import published_sahay_2025
from blood_kedro.library.reporting.chart import Chart

_HEIGHT_PX = 420


def loss_curves(regimens: dict[str, dict[str, Any]]) -> go.Figure:
    """Training and validation loss over epochs (Sahay 2025, Fig. 1); empty before anything was trained."""
    figure = go.Figure()
    for colour, (name, parts) in zip(SERIES * 9, regimens.items(), strict=False):
        table = parts["history"]
        for column, dash, what in (("train_loss", "dash", "training"), ("val_loss", "solid", "validation")):
            figure.add_scatter(
                x=table["epoch"].tolist(),
                y=table[column].tolist(),
                name=f"{name}, {what}",
                legendgroup=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
            )
    longest = max((len(parts["history"]) for parts in regimens.values()), default=0)
    figure.update_xaxes(title="epoch", dtick=1 if longest < 15 else None)
    figure.update_yaxes(title="loss (sum of four)", rangemode="tozero")
    return figure


def loss_chart(regimens: dict[str, dict[str, Any]]) -> Chart | None:
    """`loss_curves` with their data; None before anything was trained."""
    trained = {name: parts for name, parts in regimens.items() if "history" in parts}
    if not trained:
        return None
    columns = ["regimen", "epoch", "train_loss", "val_loss", "lr"]
    tables = [parts["history"].assign(regimen=name)[columns] for name, parts in trained.items()]
    return _chart("losses", loss_curves(trained), pd.concat(tables, ignore_index=True))


def classes_chart(regimens: dict[str, dict[str, Any]]) -> Chart | None:
    """AP50 of each class with its interval, commonest class first; published figures as hollow marks.

    Classes of fewer than `LEAST_CELLS_SHOWN` cells are left to the table.
    """
    rows = []
    for name, parts in regimens.items():
        metrics = parts["metrics"]
        for label, value in metrics["ap_50_per_class"].items():
            if metrics["objects_per_class"].get(label, 0) < LEAST_CELLS_SHOWN:
                continue
            low, high = metrics["ap_50_interval_95_per_class"].get(label) or (None, None)
            rows.append(
                {
                    "regimen": name,
                    "class": label,
                    "cells": metrics["objects_per_class"].get(label, 0),
                    "ap_50": value,
                    "low_95": low,
                    "high_95": high,
                }
            )
    if not rows:
        return None
    table = pd.DataFrame(rows)
    order = table.groupby("class")["cells"].max().sort_values(ascending=False).index.tolist()
    figure = go.Figure()
    for colour, (regimen, part) in zip(SERIES * 9, table.groupby("regimen", sort=False), strict=False):
        figure.add_bar(
            x=part["class"].tolist(),
            y=part["ap_50"].tolist(),
            name=f"{regimen}, measured here",
            marker_color=colour,
            customdata=part["cells"].tolist(),
            hovertemplate="%{x}: %{y:.3f}, %{customdata} cells",
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1,
                "array": (part["high_95"] - part["ap_50"]).tolist(),
                "arrayminus": (part["ap_50"] - part["low_95"]).tolist(),
            },
        )
    for number, symbol in ((0, "circle-open"), (1, "diamond-open")):
        known = [label for label in order if label in published_sahay_2025.AP_50_PER_CLASS]
        figure.add_scatter(
            x=known,
            y=[published_sahay_2025.AP_50_PER_CLASS[label][number] for label in known],
            mode="markers",
            name=f"regimen {number + 1}, published (other data)",
            marker={"symbol": symbol, "size": 8, "color": "#888"},
        )
    figure.update_xaxes(categoryorder="array", categoryarray=order)
    figure.update_yaxes(title="AP50", range=[0, 1])
    return _chart("ap_50_per_class", figure, table)


def curves_chart(regimens: dict[str, dict[str, Any]]) -> Chart | None:
    """Precision over recall at IoU 0.5: coarse classes shown, fine ones at a click on their name.

    Classes of fewer than `LEAST_CELLS_SHOWN` cells have none.
    """
    rows = []
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot")
    for dash, (name, parts) in zip(dashes * 9, regimens.items(), strict=False):
        views = (("all ", parts["metrics"]["coarse"], True), ("", parts["metrics"], "legendonly"))
        for prefix, view, visible in views:
            counts = view["objects_per_class"]
            curves = {k: v for k, v in view["precision_recall"].items() if counts.get(k, 0) >= LEAST_CELLS_SHOWN}
            for colour, (label, precision) in zip(SERIES * 9, curves.items(), strict=False):
                recall = [k / (len(precision) - 1) for k in range(len(precision))]
                figure.add_scatter(
                    x=recall,
                    y=precision,
                    mode="lines",
                    name=f"{name}: {prefix}{label}",
                    visible=visible,
                    line={"color": colour, "dash": dash},
                )
                rows += [
                    {"regimen": name, "class": f"{prefix}{label}", "recall": r, "precision": p}
                    for r, p in zip(recall, precision, strict=True)
                ]
    if not rows:
        return None
    figure.update_xaxes(title="recall", range=[0, 1])
    figure.update_yaxes(title="precision", range=[0, 1.02])
    figure.update_layout(height=_HEIGHT_PX + 16 * len(figure.data), legend={"y": -0.2, "font": {"size": 11}})
    return _chart("precision_recall", figure, pd.DataFrame(rows))


def comparison_chart(table: pd.DataFrame | None) -> Chart | None:
    """Accuracy of variants of single cells by seconds of a test, sized by parameters (Elmanna et al. 2024, Fig. 8)."""
    if table is None or table.empty:
        return None
    figure = go.Figure()
    for colour, row in zip(SERIES * 9, table.to_dict("records"), strict=False):
        figure.add_scatter(
            x=[row["test_s"]],
            y=[row["accuracy"]],
            mode="markers",
            name=str(row["variant"]),
            marker={"color": colour, "size": 10 + 2 * float(row["parameters_m"]) ** 0.5},
            hovertemplate=f"{row['variant']}: %{{y:.3f}}, {row['parameters_m']:.1f} M parameters",
        )
    figure.update_xaxes(title="seconds of a test", rangemode="tozero")
    figure.update_yaxes(title="accuracy")
    return _chart("classifier_comparison", figure, table)


def cells_chart(tables: dict[str, pd.DataFrame]) -> Chart | None:
    """Cells of each class, one bar per scanner (Elmanna et al. 2024, Fig. 3)."""
    filled = [table.assign(source=name) for name, table in tables.items() if len(table)]
    if not filled:
        return None
    table = pd.concat(filled, ignore_index=True)
    figure = go.Figure()
    for colour, ((name, scanner), part) in zip(
        SERIES * 9, table.groupby(["source", "scanner"], sort=False), strict=False
    ):
        figure.add_bar(
            x=part["class"].str.replace("_", " ").tolist(),
            y=part["cells"].tolist(),
            name=f"{name}, {scanner}".replace("_", " "),
            marker_color=colour,
        )
    figure.update_yaxes(title="cells", rangemode="tozero")
    return _chart("cells_per_class", figure, table)


def counts_chart(inputs: dict[str, Any]) -> Chart | None:
    """Counted against labelled cells in per cent, for inputs whose truth is known."""
    rows = [
        {
            "input": name,
            "kind": kind,
            **{key: errors[key] for key in ("counted", "labelled", "sum_error_percent", "bias")},
        }
        for name, totals in inputs.items()
        for kind, errors in totals.get("errors", {}).items()
        if errors["labelled"]
    ]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    figure = go.Figure()
    for colour, (name, part) in zip(SERIES * 9, table.groupby("input", sort=False), strict=False):
        figure.add_bar(
            x=part["kind"].str.replace("_", " ").tolist(),
            y=part["sum_error_percent"].tolist(),
            name=str(name),
            marker_color=colour,
            customdata=part[["counted", "labelled"]].to_numpy().tolist(),
            hovertemplate="%{x}: %{y:+.1f}%, %{customdata[0]:.0f} counted, %{customdata[1]:.0f} labelled",
        )
    figure.update_yaxes(title="error of the sum, %", zeroline=True)
    return _chart("count_errors", figure, table)


def _chart(name: str, figure: go.Figure, data: pd.DataFrame) -> Chart:
    # Colours of text and grid come from the page, which may be light or dark.
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        height=figure.layout.height or _HEIGHT_PX,
        margin={"l": 60, "r": 10, "t": 20, "b": 60},
        font={"size": 13},
        legend={"orientation": "h", "y": -0.25 if figure.layout.legend.y is None else figure.layout.legend.y},
        colorway=list(SERIES),
        hovermode="closest",
    )
    return Chart(name, figure, data)
