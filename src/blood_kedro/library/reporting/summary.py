"""summary.json: what a run leaves for machines (architecture.md). A key is absent when its pipeline has not run."""

from __future__ import annotations

from typing import Any

from blood_kedro.library.reporting.results import Results

_SOURCE = ("images", "annotations_found", "annotations", "rejected", "licence", "annotations_per_class")
_UNIFIED = (
    "images", "annotations", "train_images", "val_images", "test_images", "annotations_per_class", "duplicate_groups",
    "groups_crossing_splits", "ignore_regions", "duplicate_pairs", "split", "split_leaks", "removed_classes",
    "data_fingerprint",
)  # fmt: skip
_REGIMEN = (
    "mlflow_run_id", "map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_100", "ap_50_per_class",
    "map_50_coarse", "ap_50_per_class_coarse", "split", "interval_95", "images", "objects", "objects_per_class",
    "weights_origin", "data_fingerprint", "predict_images_per_second",
)  # fmt: skip


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
    return summary


def _source(parts: dict[str, Any]) -> dict[str, Any]:
    found = {key: parts["ingestion_summary"][key] for key in _SOURCE}
    if "boxes_summary" in parts:
        found["boxes"] = parts["boxes_summary"]
    return found


def _regimen(parts: dict[str, Any]) -> dict[str, Any]:
    history = parts["history"]
    found = {
        "epochs": len(history),
        "train_loss": history["train_loss"].tolist(),
        "val_loss": history["val_loss"].tolist(),
        "seconds_per_epoch": float(history["seconds"].mean()),
        "images_per_second": float(history["images_per_second"].mean()),
    }
    metrics = parts.get("metrics")
    if metrics is None:
        return found
    analysis = {key: metrics["analysis"][key] for key in ("score_threshold", "errors", "counting")}
    by_source = {source: _headlines(row) for source, row in metrics["by_source"].items()}
    return found | {
        **{key: metrics[key] for key in _REGIMEN},
        "study": metrics["regimen"]["study"],
        "coarse": _headlines(metrics["coarse"]),
        "by_source": by_source,
        "analysis": analysis,
    }


def _headlines(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("map", "map_50", "map_75", "mar_100", "interval_95", "objects_per_class")}
