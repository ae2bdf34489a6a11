"""Nodes of reporting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from blood_kedro import tracking
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.records import Record
from blood_kedro.library.reporting.headlines import headline_measures
from blood_kedro.library.reporting.results import collect


def gather(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any result
    """What the report takes of one namespace, by argument name (`_results` in pipeline.py)."""
    return parts


def draw_losses(
    run_record: dict[str, Any],
    result_records: dict[str, Record],
    **regimens: Any,  # noqa: ANN401 - what is gathered of each
) -> Figure:
    """Training and validation loss over epochs (Sahay 2025, Fig. 1)."""
    from blood_kedro.library.reporting.figures import loss_figure

    return loss_figure(collect(_histories(regimens), result_records, run_record["env"]).regimens)


def draw_loss_chart(
    run_record: dict[str, Any],
    result_records: dict[str, Record],
    **regimens: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - a plotly figure; plotly is imported lazily
    """The same as a chart that answers to the mouse, for lineage and notebooks."""
    from blood_kedro.library.reporting.interactive import loss_curves

    return loss_curves(collect(_histories(regimens), result_records, run_record["env"]).regimens)


def summarize(
    run_record: dict[str, Any],
    result_records: dict[str, Record],
    **results: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """summary.json, for machines; its headline figures also stand with the run in MLflow."""
    from blood_kedro.library.reporting.summary import build_summary

    finished = {key: value for key, value in run_record.items() if key not in {"started", "parameters"}}
    shown = collect(_spread(results), result_records, run_record["env"])
    tracking.log_headlines(headline_measures(shown))
    return build_summary({**finished, "seconds": time.time() - run_record["started"]}, shown)


def write_report(
    summary: dict[str, Any],
    loss_figure: bytes,
    run_record: dict[str, Any],
    result_records: dict[str, Record],
    **results: Any,  # noqa: ANN401
) -> str:
    """report.html, for people."""
    from blood_kedro.library.reporting.page import render_report

    shown = collect(_spread(results), result_records, summary["run"]["env"])
    return render_report(summary, shown, loss_figure, run_record["parameters"])


def _spread(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results by argument name, those that were gathered among the others."""
    spread: dict[str, Any] = {}
    for name, value in results.items():
        spread |= {name: value} if "__" in name else value
    return spread


def _histories(regimens: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _spread(regimens).items() if name.endswith("__history")}
