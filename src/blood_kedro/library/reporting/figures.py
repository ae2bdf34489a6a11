"""Figures made from saved tables."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_COLOURS = ("#1b6ca8", "#c8553d", "#4c956c", "#7b5ea7", "#b8860b", "#555555")


def loss_figure(regimens: dict[str, dict[str, Any]]) -> Figure:
    """Training (dashed) and validation (solid) loss over epochs, one colour per regimen (paper 000, Fig. 1)."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axis = figure.subplots()
    for colour, (name, parts) in zip(_COLOURS * 5, regimens.items(), strict=False):
        history = parts["history"]
        axis.plot(history["epoch"], history["train_loss"], "--", color=colour, marker=".", label=f"{name}, training")
        axis.plot(history["epoch"], history["val_loss"], "-", color=colour, marker="o", label=f"{name}, validation")
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss (sum of four)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    if regimens:
        axis.legend(fontsize=8)
    else:
        axis.text(0.5, 0.5, "no regimen has been trained yet", transform=axis.transAxes, ha="center")
    return figure
