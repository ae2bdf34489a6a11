"""Nodes of the shipped classifiers of cells: they adapt the catalog and MLflow to `library/shipped`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.shipped.type_cells import TypedCrops  # Kedro reads the annotations of nodes
from blood_kedro.library.shipped.type_options import TypeModel


def gather_types(raw_root: Path, options: TypeModel) -> tuple[TypedCrops, pd.DataFrame]:
    """Cells with a known type, cut out at one width of a red cell."""
    from blood_kedro.library.shipped.train_and_judge_types import gather_types as gather

    rejects = RejectLog(options.name)
    return gather(raw_root, options, rejects), conform(Rejects, rejects.rows)


def train_types(
    typed_cells: TypedCrops, options: TypeModel, work_folder: Path
) -> tuple[ModelBundle, pd.DataFrame, dict[str, Any]]:
    """Train on all laboratories and judge on groups kept out, in an MLflow child run of its own."""
    from blood_kedro.library.core.hashing import table_fingerprint
    from blood_kedro.library.shipped.train_and_judge_types import train_and_judge

    with tracking.child_run(options.name, "types"):
        tracking.log_parameters(options.model_dump(mode="json"))
        tracking.log_data("typed cells", table_fingerprint(typed_cells.table), "training")
        judged = train_and_judge(typed_cells, options, work_folder / options.name, _log)
        tracking.log_metrics(
            {f"{name}_accuracy": float(each["accuracy"]) for name, each in judged.report["test"].items()}
        )
    return judged.bundle, judged.answers, judged.report


def leave_out_types(typed_cells: TypedCrops, options: TypeModel, work_folder: Path) -> dict[str, Any]:
    """Train without each laboratory of the list and judge on it; and, where wanted, with parts dealt by cell."""
    from blood_kedro.library.shipped.train_and_judge_types import judge_by_cell, judge_left_out

    measures = {}
    for laboratory in options.left_out:
        with tracking.child_run(f"{options.name} without {laboratory}", "types"):
            tracking.log_parameters({**options.model_dump(mode="json"), "left_out": laboratory})
            folder = work_folder / f"{options.name}_without_{laboratory}"
            measures[laboratory], _ = judge_left_out(typed_cells, options, laboratory, folder, _log)
            tracking.log_metrics({"accuracy": float(measures[laboratory]["accuracy"])})
    if options.by_cell:
        with tracking.child_run(f"{options.name} by cell", "types"):
            tracking.log_parameters({**options.model_dump(mode="json"), "dealt": "by cell"})
            folder = work_folder / f"{options.name}_by_cell"
            measures["by_cell"] = judge_by_cell(typed_cells, options, folder, _log)
    return measures


def ship_types(model: ModelBundle, left_out: dict[str, Any]) -> ModelBundle:
    """The model trained on all laboratories, with the figures of those that were left out."""
    return ModelBundle(model.weights, {**model.config, "left_out": left_out})


def _log(row: dict[str, float]) -> None:
    tracking.log_metrics({"loss": row["loss"], "cpu_s": row["cpu_s"]}, step=int(row["step"]))
