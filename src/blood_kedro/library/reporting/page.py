"""report.html: one self-contained page, published tables beside measured ones."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from blood_kedro.library.core.limits import LEAST_CELLS_SHOWN
from blood_kedro.library.core.records import CORPUS, GENERATED, pictures_of
from blood_kedro.library.evaluation.errors import OUTCOMES
from blood_kedro.library.reporting import (
    interactive,
    published_elmanna_2024,
    published_gurav_2025,
    published_rao_2024,
    published_sahay_2025,
)
from blood_kedro.library.reporting.chart import Chart, plotly_packed
from blood_kedro.library.reporting.filters import FILTERS
from blood_kedro.library.reporting.first_screen import first_screen
from blood_kedro.library.reporting.papers import PAPERS
from blood_kedro.library.reporting.regimen_tables import by_source, compared, differences, per_class, repetitions
from blood_kedro.library.reporting.results import Results

METRIC_NAMES = {
    "map": "AP (IoU .50:.95)",
    "map_50": "AP50",
    "map_75": "AP75",
    "map_small": "AP small",
    "map_medium": "AP medium",
    "map_large": "AP large",
    "mar_100": "AR (100 detections)",
}
_PIXEL_NAMES = {
    "iou": "IoU",
    "iou_per_cell": "IoU, mean over cells",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "f1": "F1",
    "accuracy": "accuracy",
    "fpr": "false positive rate",
}
SPLIT_NAMES = {
    "grouped": "groups (duplicates and slides kept whole)",
    "paper": "chance alone, as in the paper",
    "official": "official lists where a source has them",
}
# Sections of the page: template and anchor, to their name in the contents and the question that they answer.
SECTIONS = {
    "data": ("Data", "What data went in?"),
    "detection": ("Detection", "How well are cells detected?"),
    "morphology": ("Single cells", "How well are single cells segmented and named?"),
    "overlap": ("Overlap", "How well are overlapping cells recognised?"),
    "counting": ("Counts", "How well are whole smears counted?"),
    "rejects": ("Rejects", "What was not taken as found, and why?"),
    "origin": ("Origin", "How was this page made?"),
}


def render_report(summary: dict[str, Any], results: Results, loss_figure: bytes, parameters: dict[str, Any]) -> str:
    """Render the page.

    Args:
        summary: content of summary.json.
        results: saved results; absent sections are left out.
        loss_figure: PNG.
        parameters: the run's parameters, printed at the end.
    """
    environment = Environment(
        loader=PackageLoader("blood_kedro.library.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    shown = {name: parts for name, parts in results.regimens.items() if {"metrics", "history"} <= set(parts)}
    return environment.get_template("report.html.j2").render(
        summary=summary,
        first=first_screen(results, shown),
        sections=_sections(results),
        least=LEAST_CELLS_SHOWN,
        unified=results.unified,
        sources=results.sources,
        regimens=shown,
        histories={name: parts["history"] for name, parts in results.regimens.items() if "history" in parts},
        composition=_composition(results),
        per_class=per_class(shown),
        delta=compared(shown),
        papers=PAPERS,
        metric_names=METRIC_NAMES,
        differences=differences(shown),
        repetitions=repetitions(shown),
        by_source=by_source(shown),
        error_kinds=(*OUTCOMES, "missed"),
        split_names=SPLIT_NAMES,
        rejects=_rejects(results),
        **_morphology(results, parameters),
        **_overlap(results),
        **_counting(results),
        left_out=results.left_out,
        measured_on=_measured_on(results),
        sahay_2025=published_sahay_2025,
        loss_figure=loss_figure,
        charts=_charts(results, shown),
        plotly=plotly_packed(),
        parameters=json.dumps(parameters, indent=1, default=str),
    )


def _charts(results: Results, shown: dict[str, dict[str, Any]]) -> dict[str, Chart | None]:
    """Charts by name; None where there is nothing to show yet."""
    inputs = {name: parts["count_totals"] for name, parts in results.smear_inputs.items() if "count_totals" in parts}
    return {
        "losses": interactive.loss_chart(results.regimens),
        "ap_50_per_class": interactive.classes_chart(shown),
        "precision_recall": interactive.curves_chart(shown),
        "cells": interactive.cells_chart(
            {name: parts["cell_counts"] for name, parts in results.cells.items() if "cell_counts" in parts}
        ),
        "classifier_comparison": interactive.comparison_chart(results.morphology.get("classifier_comparison")),
        "count_errors": interactive.counts_chart(inputs),
    }


def _sections(results: Results) -> dict[str, tuple[str, str]]:
    """Those that have something to show."""
    there = {
        "detection": any("history" in parts for parts in results.regimens.values()),
        "morphology": bool(results.segmenters or results.classifiers),
        "overlap": bool(results.overlap_crops or results.overlap_classifiers),
        "counting": bool(results.kind_classifiers or results.smear_inputs),
    }
    return {name: titles for name, titles in SECTIONS.items() if there.get(name, True)}


def _composition(results: Results) -> list[dict[str, Any]]:
    """Table I rows: published beside ours; a source that only one side has leaves the other side empty."""
    ours = {}
    if "composition_table" in results.unified:
        ours = results.unified["composition_table"].set_index("source").to_dict("index")
    names = [*dict.fromkeys([*(n for n in published_sahay_2025.COMPOSITION if n != "total"), *ours])]
    names = [name for name in names if name != "total"] + ["total"]
    return [
        {"source": name, "published": published_sahay_2025.COMPOSITION.get(name), "ours": ours.get(name)}
        for name in names
    ]


def _morphology(results: Results, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the section of single cells shows."""
    classifiers = {name: parts["metrics"] for name, parts in results.classifiers.items() if "metrics" in parts}
    known = [name for metrics in classifiers.values() for name in metrics["classes"]]
    table = results.morphology.get("classifier_comparison")
    return {
        "elmanna_2024": published_elmanna_2024,
        "pixel_names": _PIXEL_NAMES,
        "segmenters": {name: parts["metrics"] for name, parts in results.segmenters.items() if "metrics" in parts},
        "mask_figures": {
            name: parts["masks_figure"] for name, parts in results.segmenters.items() if "masks_figure" in parts
        },
        "classifiers": classifiers,
        "cell_counts": _cell_counts(results),
        "paper_sets": ("elsafty",),
        "p_columns": _p_columns(table),
        "classifier_parts": {name: results.classifiers[name] for name in classifiers},
        "cell_classes": list(dict.fromkeys([*published_elmanna_2024.PER_CLASS, *known])) if classifiers else [],
        "comparison": [] if table is None else table.to_dict("records"),
        "reference": parameters.get("morphology", {}).get("reference", ""),
    }


def _cell_counts(results: Results) -> dict[str, dict[str, Any]]:
    """Cells of each source by class and scanner (Elmanna et al. 2024, Fig. 3)."""
    tables = {}
    for name, parts in results.cells.items():
        if "cell_counts" in parts and len(parts["cell_counts"]):
            wide = parts["cell_counts"].pivot_table("cells", "class", "scanner", "sum", fill_value=0, sort=False)
            rows = [
                {"class": label, "cells": [int(n) for n in row]}
                for label, row in zip(wide.index, wide.to_numpy(), strict=True)
            ]
            tables[name] = {"scanners": list(wide.columns), "rows": rows}
    return tables


def _p_columns(table: pd.DataFrame | None) -> dict[str, dict[str, str]]:
    """Columns of Table 6: those of the paper, and the corrected test where the comparison has it."""
    titles = {
        "accuracy": "accuracy",
        "SN": "sensitivity",
        "PPV": "ppv",
        "F1": "f1",
        "training s": "train_s",
        "testing s": "test_s",
    }
    known = () if table is None else table.columns
    corrected = {title: f"p_{key}_corrected" for title, key in titles.items() if f"p_{key}_corrected" in known}
    return {"plain": {title: f"p_{key}" for title, key in titles.items()}, "corrected": corrected}


def _overlap(results: Results) -> dict[str, Any]:
    """What the section of overlapping cells shows."""
    classifiers = results.overlap_classifiers
    return {
        "gurav_2025": published_gurav_2025,
        "overlap_crops": {name: parts for name, parts in results.overlap_crops.items() if "label_facts" in parts},
        "overlap_classifiers": {name: parts["metrics"] for name, parts in classifiers.items() if "metrics" in parts},
        "overlap_figures": {
            name: parts["overlap_figure"] for name, parts in classifiers.items() if "overlap_figure" in parts
        },
    }


def _counting(results: Results) -> dict[str, Any]:
    """What the section of counts shows."""
    kinds, inputs = results.kind_classifiers, results.smear_inputs
    return {
        "rao_2024": published_rao_2024,
        "kind_classifiers": {name: parts["metrics"] for name, parts in kinds.items() if "metrics" in parts},
        "kind_figures": {name: parts["kinds_figure"] for name, parts in kinds.items() if "kinds_figure" in parts},
        "smear_inputs": {name: parts["count_totals"] for name, parts in inputs.items() if "count_totals" in parts},
        "smear_figures": {name: parts["count_figure"] for name, parts in inputs.items() if "count_figure" in parts},
    }


def _rejects(results: Results) -> pd.DataFrame:
    tables = [
        parts[key]
        for parts in results.sources.values()
        for key in ("rejects", "standardization_rejects")
        if key in parts
    ]
    tables += [table for parts in results.cells.values() for part, table in parts.items() if part.endswith("rejects")]
    if "merging_rejects" in results.unified:
        tables.append(results.unified["merging_rejects"])
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _measured_on(results: Results) -> list[dict[str, Any]]:
    """What each measured result that is shown rests on."""
    measured = {name: r for name, r in results.records.items() if name.endswith((".metrics", ".count_totals"))}
    return [
        {
            "name": dataset.rpartition(".")[0],
            "environment": record.environment,
            "made": record.made[:16],
            "commit": (record.commit or "none")[:12],
            "pictures": pictures_of(record),
            "generated": set(pictures_of(record)) == {GENERATED},
            "of_corpus": CORPUS in record.data,
            "data": {name: states[0].fingerprint for name, states in sorted(record.data.items())},
        }
        for dataset, record in sorted(measured.items())
    ]
