"""Nodes of overlap_weak_supervision: they adapt the catalog and MLflow to `library/overlap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro import tracking
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.crop_set import CropSet, gather_crops
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import SPLITS, OverlapCrops, Rejects, conform
from blood_kedro.library.core.tables import records
from blood_kedro.library.overlap.options import CropOptions, OverlapClassifier, RuleOptions


def cut_crops(
    options: CropOptions,
    raw_folder: Path,
    image_index: pd.DataFrame,
    raw_annotations: pd.DataFrame,
    image_groups: pd.DataFrame,
    on_bad_input: str,
    simulated_truth: pd.DataFrame | None = None,
) -> tuple[CropSet, pd.DataFrame, pd.DataFrame]:
    """Find, cut and measure the red cells of a source, and add the truth of their overlap where it is known."""
    from blood_kedro.assembly.localizers import localizer
    from blood_kedro.library.overlap.by_eye import true_cells
    from blood_kedro.library.overlap.gather import cut_red_cells, with_parts
    from blood_kedro.library.overlap.localizer import SourceImages

    rejects = RejectLog(options.source, strict=on_bad_input == "raise")
    images = SourceImages(raw_folder, image_index, raw_annotations, Groups.of(image_groups))
    finder = localizer(options)
    located = finder.locate(images, rejects)
    rows: list[dict[str, object]] = []
    cells = gather_crops(cut_red_cells(raw_folder, located, options, rejects, rows), options.side_px)
    table = with_parts(pd.DataFrame(rows), finder.learnt_from(images.groups), options)
    if simulated_truth is not None:
        known = simulated_truth.set_index("annotation_id")["clump_cells"]
        table["true_cells"] = table["cell_id"].map(known).astype(float)
    elif options.truth == "by_eye":
        table["true_cells"] = true_cells(table)
    return cells, conform(OverlapCrops, records(table)), conform(Rejects, rejects.rows)


def label_crops(
    measures: pd.DataFrame, options: RuleOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Votes of the rules, what the label model makes of them, and a report on each rule."""
    from blood_kedro.library.core.numbers import none_for_nan
    from blood_kedro.library.overlap.label_model import describe_rules, weak_labels
    from blood_kedro.library.overlap.rules import area_threshold, votes
    from blood_kedro.library.training.splits import missing_from_parts

    threshold = area_threshold(measures, options)
    said = votes(measures, options, threshold)
    labels, confusion = weak_labels(measures, said, options.combined)
    report = describe_rules(measures, said, labels, confusion)
    known = labels["overlapping"].dropna()
    names = (
        labels["overlapping"].gt(0.5).map({True: "overlapping", False: "single"}).where(labels["overlapping"].notna())
    )
    rows = {name: np.flatnonzero(measures["part"] == name) for name in SPLITS}
    facts = none_for_nan(
        {
            "crops": len(measures),
            "labels": {"single": int((known <= 0.5).sum()), "overlapping": int((known > 0.5).sum())},
            "unlabelled": int(labels["overlapping"].isna().sum()),
            "otsu_area_threshold_px2": threshold,
            "true_known": int(measures["true_cells"].notna().sum()),
            "groups": int(measures["group_id"].nunique()),
            "crops_of_parts": {name: len(part) for name, part in rows.items()},
            "missing_from_parts": missing_from_parts(names.to_numpy(object), rows, "weak label", "crops"),
            "rules": report.to_dict("records"),
        }
    )
    return said, labels, report, facts


def draw_crops(cells: CropSet, measures: pd.DataFrame, labels: pd.DataFrame, seed: int) -> Figure:
    """Crops that the label model is sure of, and crops that it doubts."""
    from blood_kedro.library.overlap.figures import crops_figure

    return crops_figure(cells, measures, labels, seed)


def train_classifier(
    cells: CropSet,
    measures: pd.DataFrame,
    said: pd.DataFrame,
    labels: pd.DataFrame,
    work_folder: Path,
    classifier: OverlapClassifier,
) -> tuple[ModelBundle, pd.DataFrame, pd.DataFrame, str]:
    """Train one classifier on weak labels in its own MLflow child run."""
    from blood_kedro.library.overlap.train_classifier import train_classifier as train

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    with tracking.child_run(classifier.name, "overlap classifier") as run_id:
        tracking.log_parameters(classifier.model_dump(mode="json"))
        model, answers, history = train(cells, measures, said, labels, classifier, work_folder, log_epoch)
        tracking.log_data(f"{classifier.crops}.cells", model.config["data_fingerprint"], "training")
        tracking.log_model("overlap_classifier", model)
    return model, answers, history, run_id


def score_overlap_classifier(
    answers: pd.DataFrame, model: ModelBundle, classifier: OverlapClassifier, crops: CropOptions, run_id: str, seed: int
) -> tuple[dict[str, Any], Figure]:
    """Measures against weak labels and the truth, and the figures of Gurav et al. 2025, logged to the same run."""
    from blood_kedro.library.overlap.figures import overlap_figure
    from blood_kedro.library.overlap.score import score_overlap_classifier as score

    scores = score(answers, crops.truth in ("simulated", "points"), classifier.resamples, seed)
    figure = overlap_figure(answers, scores)
    with tracking.reopened(run_id):
        tracking.log_metrics(
            {
                f"test_{judge}_{name}": value
                for judge in ("against_labels", "against_truth")
                for name, value in scores.get(judge, {}).items()
                if isinstance(value, int | float)
            }
        )
        tracking.log_figure(figure, "overlap.png")
    facts = {key: model.config[key] for key in ("train_crops", "val_crops", "best_epoch", "data_fingerprint", "study")}
    return {**scores, **facts, "crops": crops.model_dump(mode="json"), "mlflow_run_id": run_id}, figure
