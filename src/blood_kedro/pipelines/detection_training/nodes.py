"""Nodes of detection training: they adapt the catalog and MLflow to `library/detection`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure  # Kedro reads the annotations of nodes

from blood_kedro import tracking
from blood_kedro.library.core.cutout import Cutout
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.detection.options import Pretraining, Regimen

# Simulated cells are drawn this finely; pasting fits them to the scale of each image.
_CUTOUT_PX_PER_UM = 8.0


def pretrain(work_folder: Path, pretraining: Pretraining, seed: int) -> tuple[ModelBundle, pd.DataFrame]:
    """Train a detector on generated smears, as a start for regimens that cannot have COCO weights.

    It learns the simulator's own classes: what tells shapes apart is of use for the real ones.
    """
    from blood_kedro.library.smears.options import SmearOptions
    from blood_kedro.library.smears.training_set import training_and_held_out
    from blood_kedro.library.smears.write import write_smears

    folder = work_folder / "smears"
    # Another seed than the `synthetic` source: no generated field is both pre-trained on and judged by.
    write_smears(folder, SmearOptions.model_validate(pretraining.smears), seed + 1, workers=0)
    fields, held_out = training_and_held_out(folder)
    model, history, _ = train(fields, held_out, folder / "images", work_folder / "fit", pretraining.regimen)
    return model, history


def cells_to_paste(coco_train: dict[str, Any], images: Path, regimen: Regimen) -> list[Cutout]:
    """Cut-outs for the regimen's copy-paste: from its training images, from the simulator, or both."""
    from blood_kedro.library.detection.copy_paste import real_cutouts
    from blood_kedro.library.smears.cutouts import simulated_cutouts

    options = regimen.copy_paste
    if options is None:
        return []
    cells = [] if options.source == "simulated" else real_cutouts(coco_train, images, options, regimen.seed)
    if options.source != "real":
        cells += simulated_cutouts(options.classes, options.cutouts_per_class, _CUTOUT_PX_PER_UM, regimen.seed)
    return cells


def train(
    coco_train: dict[str, Any],
    coco_val: dict[str, Any],
    images: Path,
    work_folder: Path,
    regimen: Regimen,
    pretrained: ModelBundle | None = None,
    cutouts: list[Cutout] | None = None,
) -> tuple[ModelBundle, pd.DataFrame, str]:
    """Train one regimen in its own MLflow child run; the run's id is an ordinary output."""
    from blood_kedro.library.detection.fit import fit

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    with tracking.child_run(regimen.name) as run_id:
        tracking.log_parameters(regimen.model_dump(mode="json"))
        trained = fit(
            regimen, coco_train, coco_val, images, work_folder,
            pretrained=pretrained, cutouts=cutouts or [], on_epoch=log_epoch,
        )  # fmt: skip
        tracking.log_parameters(
            {name: trained.bundle.config[name] for name in ("weights_origin", "data_fingerprint", "train_images")}
        )
        tracking.log_detector(trained.bundle)
    return trained.bundle, pd.DataFrame(trained.history), run_id


def predict(model: ModelBundle, coco_val: dict[str, Any], images: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Detections on the validation split, and their speed."""
    from blood_kedro.library.detection.predict import predict as detect

    results, images_per_second = detect(model, coco_val, images)
    return results, {"predict_images_per_second": images_per_second}


def score(
    coco_val: dict[str, Any],
    predictions: list[dict[str, Any]],
    speed: dict[str, Any],
    model: ModelBundle,
    run_id: str,
    unified_summary: dict[str, Any],
    evaluation: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """COCO metrics, logged to the regimen's own run; what they were measured on travels with them."""
    from blood_kedro.library.evaluation.coco_metrics import detection_metrics
    from blood_kedro.library.evaluation.errors import error_analysis

    resamples = evaluation["resamples"]
    metrics = detection_metrics(coco_val, predictions, resamples=resamples, seed=seed)
    analysis = error_analysis(
        coco_val, predictions, score=evaluation["score_threshold"], resamples=resamples, seed=seed
    )
    counting = {f"val_count_mae_{n}": row["mean_absolute_error"] for n, row in analysis["counting"].items()}
    with tracking.reopened(run_id):
        tracking.log_metrics({f"val_{name}": value for name, value in metrics.items()} | speed)
        tracking.log_metrics({f"val_errors_{kind}": n for kind, n in analysis["errors"].items()} | counting)
    return {
        **metrics,
        "analysis": analysis,
        **speed,
        "mlflow_run_id": run_id,
        "weights_origin": model.config["weights_origin"],
        "regimen": model.config["regimen"],
        "train_images": model.config["train_images"],
        "data_fingerprint": unified_summary["data_fingerprint"],
    }


def draw(
    coco_val: dict[str, Any], predictions: list[dict[str, Any]], images: Path, run_id: str
) -> tuple[Figure, Figure]:
    """Predictions over ground truth (paper 000, Fig. 2) and failure cases (Fig. 3), also logged to MLflow."""
    from blood_kedro.library.detection.figures import failures_figure, predictions_figure

    drawn = predictions_figure(coco_val, predictions, images), failures_figure(coco_val, predictions, images)
    with tracking.reopened(run_id):
        for figure, name in zip(drawn, ("predictions.png", "failures.png"), strict=True):
            tracking.log_figure(figure, name)
    return drawn
