"""summary.json: what a run leaves for machines (architecture.md). A key is absent when its pipeline has not run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from blood_kedro.library.reporting.results import Results

_SOURCE = ("images", "annotations_found", "annotations", "rejected", "licence", "annotations_per_class")
_UNIFIED = (
    "images",
    "annotations",
    "train_images",
    "val_images",
    "test_images",
    "annotations_per_class",
    "duplicate_groups",
    "groups_crossing_splits",
    "ignore_regions",
    "duplicate_pairs",
    "split",
    "split_leaks",
    "removed_classes",
    "data_fingerprint",
)
_REGIMEN = (
    "mlflow_run_id",
    "map",
    "map_50",
    "map_75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_100",
    "ap_50_per_class",
    "map_50_coarse",
    "ap_50_per_class_coarse",
    "split",
    "interval_95",
    "interval_basis",
    "images",
    "groups",
    "objects",
    "objects_per_class",
    "weights_origin",
    "data_fingerprint",
    "predict_images_per_second",
)

_PIXELS = ("iou", "iou_per_cell", "sensitivity", "specificity", "ppv", "f1", "accuracy", "fpr")
_KINDS = (
    "accuracy",
    "f1",
    "interval_95",
    "interval_basis",
    "test_cutouts",
    "test_groups",
    "per_class",
    "mlflow_run_id",
)
_CELLS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ece")


def build_summary(run: dict[str, Any], results: Results) -> dict[str, Any]:
    """All headline figures as one JSON-like dictionary."""
    summary: dict[str, Any] = {"run": run}
    sources = {name: _source(parts) for name, parts in results.sources.items() if "ingestion_summary" in parts}
    if sources:
        summary["sources"] = sources
    if "unified_summary" in results.unified:
        summary["unified"] = {key: results.unified["unified_summary"][key] for key in _UNIFIED}
    regimens = {name: _regimen(parts) for name, parts in results.regimens.items() if "history" in parts}
    if regimens:
        summary["regimens"] = regimens
    morphology = _morphology(results)
    if morphology:
        summary["morphology"] = morphology
    overlap = _overlap(results)
    if overlap:
        summary["overlap"] = overlap
    counting = _counting(results)
    if counting:
        summary["counting"] = counting
    if results.left_out:
        summary["not_of_this_corpus"] = [asdict(result) for result in results.left_out]
    return summary


def _morphology(results: Results) -> dict[str, Any]:
    """Single cells: measures of each segmenter and variant, their comparison, and each test slide."""
    segmented = {name: parts["metrics"] for name, parts in results.segmenters.items() if "metrics" in parts}
    classified = {name: parts["metrics"] for name, parts in results.classifiers.items() if "metrics" in parts}
    summary: dict[str, Any] = {}
    if segmented:
        summary["segmentation"] = {
            name: {
                key: metrics[key] for key in (*_PIXELS, "interval_95", "interval_basis", "test_cells", "mlflow_run_id")
            }
            for name, metrics in segmented.items()
        }
    if classified:
        summary["classification"] = {
            name: {
                key: metrics[key]
                for key in (*_CELLS, "interval_95", "interval_basis", "test_cells", "per_class", "mlflow_run_id")
            }
            for name, metrics in classified.items()
        }
        summary["per_slide"] = {name: metrics["per_slide"] for name, metrics in classified.items()}
    table = results.morphology.get("classifier_comparison")
    if table is not None:
        columns = ["accuracy", "f1", "parameters_m", "size_mb", "train_s", "test_s"]
        summary["comparison"] = table.set_index("variant")[columns].to_dict("index")
    return summary


def _overlap(results: Results) -> dict[str, Any]:
    """Weak labels of each set of crops, and each classifier judged by them and by the truth."""
    summary: dict[str, Any] = {}
    facts = {name: parts["label_facts"] for name, parts in results.overlap_crops.items() if "label_facts" in parts}
    if facts:
        summary["labels"] = {name: f["labels"] for name, f in facts.items()}
    for name, parts in results.overlap_classifiers.items():
        if "metrics" in parts:
            metrics = parts["metrics"]
            judged = {j: _judged(metrics[j]) for j in ("against_labels", "against_truth") if j in metrics}
            summary[name] = {"mlflow_run_id": metrics["mlflow_run_id"], **judged}
    return summary


def _counting(results: Results) -> dict[str, Any]:
    """Classifiers of cutouts, and counts of each input with their errors where a reference is known."""
    summary: dict[str, Any] = {}
    kinds = {name: parts["metrics"] for name, parts in results.kind_classifiers.items() if "metrics" in parts}
    if kinds:
        summary["classification"] = {name: {key: m[key] for key in _KINDS} for name, m in kinds.items()}
    for name, parts in results.smear_inputs.items():
        if "count_totals" in parts:
            summary[name] = {key: value for key, value in parts["count_totals"].items() if key != "input"}
    return summary


def _judged(measures: dict[str, Any]) -> dict[str, Any]:
    """Headlines of one judge; `per_class` as architecture.md has it."""
    per_class = {
        "single": {key: measures[f"single_{key}"] for key in ("precision", "recall", "f1")},
        "overlapping": {key: measures[key] for key in ("precision", "recall", "f1")},
    }
    gains = {key: measures[key] for key in ("gain", "gain_interval_95", "beats_labels", "counting") if key in measures}
    return (
        {key: measures[key] for key in ("accuracy", "auc", "crops", "interval_95", "interval_basis")}
        | {"per_class": per_class}
        | gains
    )


def _source(parts: dict[str, Any]) -> dict[str, Any]:
    summary = {key: parts["ingestion_summary"][key] for key in _SOURCE}
    if "boxes_summary" in parts:
        summary["boxes"] = parts["boxes_summary"]
    return summary


def _regimen(parts: dict[str, Any]) -> dict[str, Any]:
    history = parts["history"]
    summary = {
        "epochs": len(history),
        "train_loss": history["train_loss"].tolist(),
        "val_loss": history["val_loss"].tolist(),
        "seconds_per_epoch": float(history["seconds"].mean()),
        "images_per_second": float(history["images_per_second"].mean()),
    }
    metrics = parts.get("metrics")
    if metrics is None:
        return summary
    analysis = {key: metrics["analysis"][key] for key in ("score_threshold", "errors", "counting")}
    by_source = {source: _headlines(row) for source, row in metrics["by_source"].items()}
    return summary | {
        **{key: metrics[key] for key in _REGIMEN},
        "repeats": metrics["repeats"],
        "coarse": _headlines(metrics["coarse"]),
        "by_source": by_source,
        "otherwise": {name: {**_headlines(row), "images": row["images"]} for name, row in metrics["otherwise"].items()},
        "analysis": analysis,
    }


def _headlines(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("map", "map_50", "map_75", "mar_100", "interval_95", "interval_basis", "objects_per_class")
    return {key: row[key] for key in keys}
