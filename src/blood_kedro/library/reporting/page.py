"""report.html: one self-contained page, published tables beside measured ones."""

from __future__ import annotations

import base64
import json
import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from blood_kedro.library.core.taxonomy import PAPER_000
from blood_kedro.library.evaluation.errors import KINDS
from blood_kedro.library.evaluation.resampling import paired_difference
from blood_kedro.library.reporting import interactive, published, published_002, published_003, published_004
from blood_kedro.library.reporting.results import Results

METRIC_NAMES = {
    "map": "AP (IoU .50:.95)", "map_50": "AP50", "map_75": "AP75", "map_small": "AP small", "map_medium": "AP medium",
    "map_large": "AP large", "mar_100": "AR (100 detections)",
}  # fmt: skip
_PIXEL_NAMES = {
    "iou": "IoU", "iou_per_cell": "IoU, mean over cells", "sensitivity": "sensitivity", "specificity": "specificity",
    "ppv": "PPV", "f1": "F1", "accuracy": "accuracy", "fpr": "false positive rate",
}  # fmt: skip
SPLIT_NAMES = {
    "grouped": "grouped (duplicates and slides kept whole)",
    "paper": "paper (plain random)",
    "official": "official lists where a source has them",
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
        loader=PackageLoader("blood_kedro.library.reporting", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": _number, "png": _png, "besides": _besides, "percent": _percent, "confusion_csv": _confusion_csv
    }  # fmt: skip
    shown = {name: parts for name, parts in results.regimens.items() if "metrics" in parts}
    return environment.get_template("report.html.j2").render(
        summary=summary,
        unified=results.unified,
        sources=results.sources,
        regimens=shown,
        histories={name: parts["history"] for name, parts in results.regimens.items() if "history" in parts},
        composition=_composition(results),
        per_class=_per_class(shown),
        metric_names=METRIC_NAMES,
        differences=_differences(shown),
        repetitions=_repetitions(shown),
        by_source=_by_source(shown),
        error_kinds=(*KINDS, "missed"),
        split_names=SPLIT_NAMES,
        rejects=_rejects(results),
        **_morphology(results, parameters),
        **_overlap(results),
        **_counting(results),
        stale=_stale(summary, shown),
        published=published,
        loss_figure=loss_figure,
        charts=_charts(results, shown),
        plotly_script=interactive.plotly_script(),
        parameters=json.dumps(parameters, indent=1, default=str),
    )


def _charts(results: Results, shown: dict[str, dict[str, Any]]) -> dict[str, interactive.Chart | None]:
    """Charts by name; None where there is nothing to show yet."""
    inputs = {name: parts["count_totals"] for name, parts in results.smear_inputs.items() if "count_totals" in parts}
    return {
        "losses": interactive.loss_chart(results.regimens),
        "ap_50_per_class": interactive.classes_chart(shown),
        "precision_recall": interactive.curves_chart(shown),
        "classifier_comparison": interactive.comparison_chart(results.morphology.get("classifier_comparison")),
        "count_errors": interactive.counts_chart(inputs),
    }


def _composition(results: Results) -> list[dict[str, Any]]:
    """Table I rows: published beside ours; a source that only one side has leaves the other side empty."""
    ours = {}
    if "composition_table" in results.unified:
        ours = results.unified["composition_table"].set_index("source").to_dict("index")
    names = [*dict.fromkeys([*(n for n in published.COMPOSITION if n != "total"), *ours])]
    names = [name for name in names if name != "total"] + ["total"]
    return [{"source": name, "published": published.COMPOSITION.get(name), "ours": ours.get(name)} for name in names]


def _per_class(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Table IV rows in the paper's order, then classes that only our corpus has."""
    measured = {name: parts["metrics"] for name, parts in regimens.items()}
    extra = [c for m in measured.values() for c in m["ap_50_per_class"] if c not in PAPER_000]
    return [
        {
            "class": label,
            "published": published.AP_50_PER_CLASS.get(label),
            "ours": {
                name: (m["ap_50_per_class"].get(label), m["ap_50_interval_95_per_class"].get(label))
                for name, m in measured.items()
            },
            "objects": next((m["objects_per_class"].get(label, 0) for m in measured.values()), 0),
        }
        for label in [*PAPER_000, *dict.fromkeys(extra)]
    ]


def _differences(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every two regimens that were scored on the same data: the second minus the first, paired over images."""
    rows = []
    for one, other in combinations(regimens, 2):
        first, second = regimens[one]["metrics"], regimens[other]["metrics"]
        if first["data_fingerprint"] == second["data_fingerprint"]:
            found = {name: paired_difference(first, second, name) for name in ("map", "map_50", "map_75", "mar_100")}
            rows.append({"first": one, "second": other, "by": {name: f for name, f in found.items() if f is not None}})
    return rows


def _repetitions(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Studies that ran a regimen several times, scored on the same data: how far AP and AP50 spread."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for parts in regimens.values():
        study = parts["metrics"]["regimen"]["study"]
        if study:
            groups.setdefault((study, parts["metrics"]["data_fingerprint"]), []).append(parts["metrics"])
    rows = []
    for (study, _), runs in groups.items():
        values = {name: np.array([run[name] for run in runs if run[name] is not None]) for name in ("map", "map_50")}
        spread = {
            name: (float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else None, float(v.min()), float(v.max()))
            for name, v in values.items()
            if len(v)
        }
        rows.append({"study": study, "runs": len(runs), "by": spread})
    return rows


def _by_source(regimens: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each source that was scored on: each regimen's metrics there, and whether it was left out."""
    names = dict.fromkeys(source for parts in regimens.values() for source in parts["metrics"]["by_source"])
    return [
        {
            "source": source,
            "by": {
                name: {
                    **parts["metrics"]["by_source"].get(source, {}),
                    "unseen": parts["metrics"]["regimen"]["leave_out"] == source,
                }
                for name, parts in regimens.items()
            },
        }
        for source in names
    ]


def _morphology(results: Results, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the section of single cells shows."""
    classifiers = {name: parts["metrics"] for name, parts in results.classifiers.items() if "metrics" in parts}
    known = [name for metrics in classifiers.values() for name in metrics["classes"]]
    table = results.morphology.get("classifier_comparison")
    return {
        "p003": published_003,
        "pixel_names": _PIXEL_NAMES,
        "segmenters": {name: parts["metrics"] for name, parts in results.segmenters.items() if "metrics" in parts},
        "mask_figures": {
            name: parts["masks_figure"] for name, parts in results.segmenters.items() if "masks_figure" in parts
        },
        "classifiers": classifiers,
        "classifier_parts": {name: results.classifiers[name] for name in classifiers},
        "cell_classes": list(dict.fromkeys([*published_003.PER_CLASS, *known])) if classifiers else [],
        "comparison": [] if table is None else table.to_dict("records"),
        "reference": parameters.get("morphology", {}).get("reference", ""),
    }  # fmt: skip


def _overlap(results: Results) -> dict[str, Any]:
    """What the section of overlapping cells shows."""
    studies = results.overlap_studies
    return {
        "p002": published_002,
        "overlap_crops": {name: parts for name, parts in results.overlap_crops.items() if "label_facts" in parts},
        "overlap_studies": {name: parts["metrics"] for name, parts in studies.items() if "metrics" in parts},
        "overlap_figures": {name: parts["study_figure"] for name, parts in studies.items() if "study_figure" in parts},
    }


def _counting(results: Results) -> dict[str, Any]:
    """What the section of counts shows."""
    kinds, inputs = results.kind_classifiers, results.smear_inputs
    return {
        "p004": published_004,
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
    tables += [parts["cells_rejects"] for parts in results.cells.values()]
    if "merging_rejects" in results.unified:
        tables.append(results.unified["merging_rejects"])
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _stale(summary: dict[str, Any], regimens: dict[str, dict[str, Any]]) -> list[str]:
    """Regimens that were measured on other data than the corpus this report describes."""
    now = summary.get("unified", {}).get("data_fingerprint")
    return [name for name, parts in regimens.items() if parts["metrics"]["data_fingerprint"] != now]


def _besides(regimen: dict[str, Any]) -> str:
    """What a regimen does that plain Faster R-CNN does not, in words."""
    parts = {
        f"without {regimen['leave_out']}": regimen["leave_out"],
        f"{regimen['sampler']} sampling": regimen["sampler"] != "uniform",
        f"{regimen['head_loss']} loss": regimen["head_loss"] != "cross_entropy",
        "ignore regions": regimen["ignore_regions"],
        regimen["label_space"]: regimen["label_space"] != "merged",
        "copy-paste": regimen["copy_paste"],
        "fitted anchors": regimen["network"]["anchors"] == "fitted",
        f"seed {regimen['seed']}": regimen["study"],
    }
    return ", ".join(text.replace("_", " ") for text, said in parts.items() if said)


def _number(value: float | None, digits: int = 4) -> str:
    """A figure, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None, digits: int = 2) -> str:
    """A share in per cent, or a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def _confusion_csv(matrix: list[list[float]], classes: list[str]) -> str:
    """Address of a confusion matrix as CSV: rows are labelled, columns found."""
    table = pd.DataFrame(matrix, columns=classes)
    table.insert(0, "labelled", classes)
    return interactive.data_address(table)


def _png(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
