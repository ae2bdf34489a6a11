"""Nodes that make cutouts and classifiers of them: they adapt the catalog and MLflow to `library/counting`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.assembly.segmenters import segmenter
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.crop_set import CropSet, gather_crops
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier


def cut_cutouts(
    options: CutoutOptions,
    raw_folder: Path,
    on_bad_input: str,
    image_index: pd.DataFrame | None = None,
    raw_annotations: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[CropSet, pd.DataFrame]:
    """Cut masks out once, for every classifier that learns from them; what cannot be used goes to rejects."""
    from blood_kedro.library.counting.name.cutouts import published_cutouts, segmented_cutouts

    rejects = RejectLog(options.name, strict=on_bad_input == "raise")
    if image_index is None or raw_annotations is None or image_groups is None:
        cells = published_cutouts(raw_folder / "compiled_dataset", options, rejects)
    else:
        cells = segmented_cutouts(
            raw_folder, image_index, raw_annotations, Groups.of(image_groups), options, segmenter(options), rejects
        )
    return gather_crops(cells, options.side_px), conform(Rejects, rejects.rows)


def train_kinds(
    options: KindClassifier,
    first_cutouts: CutoutOptions,
    work_folder: Path,
    start: ModelBundle | None = None,
    **cutouts: CropSet,
) -> tuple[ModelBundle, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any], Figure]:
    """Search, train and test a classifier of cutouts in its own MLflow child run (Rao et al. 2024, Tables 1 to 4)."""
    from blood_kedro.library.counting.draw.figures import kinds_figure
    from blood_kedro.library.counting.name.train import train_kinds as train

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    sets = [cutouts[name] for name in options.cutouts]
    with tracking.child_run(options.name, "kind classifier") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        trained = train(sets, first_cutouts, options, work_folder, start, log_epoch)
        tracking.log_metrics(tracking.of_part("test", trained.metrics))
        tracking.log_data(", ".join(options.cutouts), str(trained.metrics["data_fingerprint"]), "training")
        tracking.log_model("kind_classifier", trained.model)
        figure = kinds_figure(sets, trained.answers, trained.metrics, options)
        tracking.log_figure(figure, "kinds.png")
    metrics = {**trained.metrics, "classifier": options.model_dump(mode="json"), "mlflow_run_id": run_id}
    return trained.model, trained.answers, trained.search, trained.history, metrics, figure
