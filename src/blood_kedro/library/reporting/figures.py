"""Figures made from saved tables."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blood_kedro.library.core.colours import SERIES


def loss_figure(regimens: dict[str, dict[str, Any]]) -> Figure:
    """Training (dashed) and validation (solid) loss over epochs, one colour per regimen (Sahay 2025, Fig. 1).

    Where a regimen measured AP50 on the validation images on its way (`map_every`), that stands beside it.
    """
    curved = {name: parts["history"] for name, parts in regimens.items() if "val_map_50" in parts["history"]}
    figure = Figure(figsize=(12 if curved else 7.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if curved else 1, squeeze=False)[0]
    axis = axes[0]
    for colour, (name, parts) in zip(SERIES * 5, regimens.items(), strict=False):
        history = parts["history"]
        axis.plot(history["epoch"], history["train_loss"], "--", color=colour, marker=".", label=f"{name}, training")
        axis.plot(history["epoch"], history["val_loss"], "-", color=colour, marker="o", label=f"{name}, validation")
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss (sum of four)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    for colour, name in zip(SERIES * 5, regimens, strict=False):
        if name in curved:
            measured = curved[name].dropna(subset="val_map_50")
            axes[1].plot(measured["epoch"], measured["val_map_50"], "-", color=colour, marker="o", label=name)
            axes[1].set(xlabel="epoch", ylabel="AP50, validation", ylim=(0, 1))
            axes[1].grid(alpha=0.25)
            axes[1].legend(fontsize=8)
    if regimens:
        axis.legend(fontsize=8)
    else:
        axis.text(0.5, 0.5, "no regimen has been trained yet", transform=axis.transAxes, ha="center")
    return figure
