"""Results in one number each: the figures that MLflow lists of a run, one for each question of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from blood_kedro.library.reporting.results import Results

# Of the best detector, segmenter, classifier and count of a run.
HEADLINE_METRICS = ("detection_ap50", "segmentation_iou", "shape_accuracy", "overlap_accuracy", "count_accuracy")


def headline_measures(results: Results) -> dict[str, float]:
    """What is known of `HEADLINE_METRICS`: the best of each; overlap by the truth, counts as Rao et al. 2024 do."""
    of_each: tuple[list[float | None], ...] = (
        [parts["metrics"]["map_50"] for parts in results.regimens.values() if "metrics" in parts],
        [parts["metrics"]["iou"] for parts in results.segmenters.values() if "metrics" in parts],
        [parts["metrics"]["accuracy"] for parts in results.classifiers.values() if "metrics" in parts],
        [
            parts["metrics"]["against_truth"]["accuracy"]
            for parts in results.overlap_classifiers.values()
            if "against_truth" in parts.get("metrics", {})
        ],
        [
            counted(parts["count_totals"])["accuracy"]
            for parts in results.smear_inputs.values()
            if "count_totals" in parts
        ],
    )
    known = {
        name: [value for value in values if value is not None]
        for name, values in zip(HEADLINE_METRICS, of_each, strict=True)
    }
    return {name: max(values) for name, values in known.items() if values}


def best_of(group: Mapping[str, dict[str, Any]], value: Callable[[dict[str, Any]], float | None]) -> str | None:
    """The name whose value is highest, of those that have one."""
    values = {name: value(parts) for name, parts in group.items()}
    known = {name: number for name, number in values.items() if number is not None}
    return max(known, key=lambda name: known[name]) if known else None


def counted(totals: dict[str, Any]) -> dict[str, Any]:
    """Red cells by hand; accuracy (Rao et al. 2024, section 4.2) and error of the count, where there is a reference."""
    facts: dict[str, Any] = {"by_hand": None, "what": "", "accuracy": None, "error": None}
    cells = 0.0
    if "rbc" in totals.get("by_hand", {}):
        cells, facts["by_hand"] = totals["by_hand"]["rbc"]["counted"], totals["by_hand"]["rbc"]["by_hand"]
        facts["what"] = "counted by hand"
    elif "errors" in totals:
        cells, facts["by_hand"] = totals["errors"]["rbc"]["counted"], totals["errors"]["rbc"]["labelled"]
        facts["what"] = "labelled"
    elif "agreement" in totals:
        cells = sum(each["count"] for each in totals["agreement"].values())
        facts["by_hand"] = sum(each["reference_count"] for each in totals["agreement"].values())
        facts["what"] = "masks, white cells among them"
    if facts["by_hand"]:
        facts["error"] = (cells - facts["by_hand"]) / facts["by_hand"]
        facts["accuracy"] = 1 - abs(facts["error"])
    return facts
