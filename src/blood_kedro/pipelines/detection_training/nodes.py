"""Nodes of detection training: they adapt the catalog and MLflow to `library/detection`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.records import describe_model
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.detection.options import OwnImages, Pretraining, Regimen
from blood_kedro.library.evaluation.options import Evaluation

if TYPE_CHECKING:
    from blood_kedro.library.detection.detect_pictures import DetectedPictures

logger = logging.getLogger(__name__)

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
    model, history, _ = train(
        fields, held_out, folder / "images", work_folder / "fit", pretraining.regimen, corpus="generated smears"
    )
    return model, history


def cells_to_paste(coco_train: dict[str, Any], images: Path, regimen: Regimen) -> list[CellPatch]:
    """Cut-outs for the regimen's copy-paste: from its training images, from the simulator, or both."""
    from blood_kedro.library.detection.patches import real_patches
    from blood_kedro.library.smears.patches import simulated_patches

    options = regimen.copy_paste
    if options is None:
        return []
    cells = [] if options.source == "simulated" else real_patches(coco_train, images, options, regimen.seed)
    if options.source != "real":
        cells += simulated_patches(options.classes, options.cutouts_per_class, _CUTOUT_PX_PER_UM, regimen.seed)
    return cells


def train(
    coco_train: dict[str, Any],
    coco_val: dict[str, Any],
    images: Path,
    work_folder: Path,
    regimen: Regimen,
    pretrained: ModelBundle | None = None,
    cutouts: list[CellPatch] | None = None,
    corpus: str = "unified",
) -> tuple[ModelBundle, pd.DataFrame, str]:
    """Train one regimen in its own MLflow child run; the run's id is an ordinary output."""
    from blood_kedro.library.core.hashing import fingerprint
    from blood_kedro.library.core.plain_options import to_plain
    from blood_kedro.library.detection.fit import fit
    from blood_kedro.library.detection.launch import fit_in_processes
    from blood_kedro.library.detection.taken_over import take_over

    if regimen.first_weights.run:
        pretrained = tracking.fetch_detector(regimen.first_weights.run)

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    with tracking.child_run(regimen.name, "detector") as run_id:
        tracking.log_parameters(regimen.model_dump(mode="json"))
        if regimen.trained_in:
            trained = take_over(Path(regimen.trained_in), regimen, coco_train, coco_val)
            trained.bundle.config.update(compute=to_plain(regimen.compute), taken_from=regimen.trained_in)
            for row in trained.history:
                log_epoch(row)
        else:
            one = regimen.compute.devices == regimen.compute.num_nodes == 1
            trained = (fit if one else fit_in_processes)(
                regimen,
                coco_train,
                coco_val,
                images,
                work_folder,
                pretrained=pretrained,
                cutouts=cutouts or [],
                on_epoch=log_epoch,
            )
        tracking.log_parameters(
            {name: trained.bundle.config[name] for name in ("weights_origin", "data_fingerprint", "train_images")}
        )
        tracking.log_data(f"{corpus}, train", fingerprint(coco_train), "training")
        tracking.log_data(f"{corpus}, val", fingerprint(coco_val), "validation")
        tracking.log_model("detector", trained.bundle)
    return trained.bundle, pd.DataFrame(trained.history), run_id


def predict(
    model: ModelBundle, coco: dict[str, Any], images: Path, evaluation: Evaluation
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Detections on the split that is scored, and their speed."""
    from blood_kedro.library.detection.predict import predict as detect
    from blood_kedro.library.detection.taken_over import taken_predictions

    if not coco["images"]:
        raise ConfigurationError(
            "the split to score has no image",
            where="evaluation.split",
            got=evaluation.split,
            remedy="set merging.test_fraction, or merging.split to official where a source has lists, and merge again",
        )
    folder = model.config.get("taken_from")
    if folder:
        results, images_per_second = taken_predictions(Path(folder), evaluation.split, model.config)
    else:
        results, images_per_second = detect(model, coco, images)
    return results, {"predict_images_per_second": images_per_second}


def score(
    coco: dict[str, Any],
    coco_train: dict[str, Any],
    coco_val: dict[str, Any],
    predictions: list[dict[str, Any]],
    speed: dict[str, Any],
    model: ModelBundle,
    run_id: str,
    unified_summary: dict[str, Any],
    evaluation: Evaluation,
    seed: int,
    regimen: Regimen,
) -> dict[str, Any]:
    """COCO metrics, logged to the regimen's own run; what they were measured on travels with them."""
    from blood_kedro.library.evaluation.coco_metrics import detection_metrics, metrics_by_source, metrics_otherwise
    from blood_kedro.library.evaluation.errors import error_analysis

    resamples, split = evaluation.resamples, evaluation.split
    metrics = detection_metrics(coco, predictions, resamples=resamples, seed=seed)
    by_source = metrics_by_source(coco, predictions, resamples=resamples, seed=seed)
    # Test images are to be new to whoever chose by the validation images, too.
    known = coco_train["images"] + (coco_val["images"] if split == "test" else [])
    otherwise = metrics_otherwise(coco, predictions, known, resamples=resamples, seed=seed)
    analysis = error_analysis(coco, predictions, score=evaluation.score_threshold, resamples=resamples, seed=seed)
    twice = ("map_50_coarse", "ap_50_per_class_coarse")  # they are in `coarse`
    logged = {
        **{name: value for name, value in metrics.items() if name not in twice},
        "by_source": {source: {"map_50": row["map_50"], "map": row["map"]} for source, row in by_source.items()},
        "errors": analysis["errors"],
        "count_mae": {name: row["mean_absolute_error"] for name, row in analysis["counting"].items()},
    }
    with tracking.reopened(run_id):
        tracking.log_metrics(tracking.of_part(split, logged) | speed)
    return {
        **metrics,
        "split": split,
        "by_source": by_source,
        "otherwise": otherwise,
        "analysis": analysis,
        **speed,
        "mlflow_run_id": run_id,
        "weights_origin": model.config["weights_origin"],
        "regimen": model.config["regimen"],
        "repeats": regimen.repeats,
        "train_images": model.config["train_images"],
        "trained_in": model.config.get("trained_in"),
        "data_fingerprint": unified_summary["data_fingerprint"],
    }


def draw(
    coco: dict[str, Any], predictions: list[dict[str, Any]], images: Path, metrics: dict[str, Any], run_id: str
) -> tuple[Figure, Figure, Figure]:
    """Predictions over ground truth (Sahay 2025, Fig. 2), failures (Fig. 3) and precision-recall, also in MLflow."""
    from blood_kedro.library.detection.figures import curves_figure, failures_figure, predictions_figure

    over_truth = predictions_figure(coco, predictions, images)
    drawn = over_truth, failures_figure(coco, predictions, images), curves_figure(metrics)
    with tracking.reopened(run_id):
        for figure, name in zip(drawn, ("predictions.png", "failures.png", "precision_recall.png"), strict=True):
            tracking.log_figure(figure, name)
    return drawn


def detect_own_images(
    model: ModelBundle, detection: OwnImages, work_folder: Path, report_folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Path]:
    """Look at a user's own images with a trained detector: cells, counts, rejects, and a page with overlays."""
    from blood_kedro.library.detection.detect_pictures import detect_images

    rejects = RejectLog("own")
    images = detect_images(model, [Path(str(detection.input))], detection, work_folder, rejects)
    used = describe_model(detection.regimen, model.record)
    logger.info("%s", used)
    notes = [
        used,
        f"Found by {detection.regimen} ({model.config['weights_origin']}), scores from {detection.least_score():g}.",
        f"It knows: {', '.join(model.config['classes']).replace('_', ' ')}. On a microscope or stain that it was not "
        "trained on, look at the overlays before you use a number.",
    ]
    return _reported(images, notes, rejects, report_folder)


def detect_with_shipped(
    detection: OwnImages, work_folder: Path, report_folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Path]:
    """The same with the detector that comes with the project, which needs no training here and no hint of scale."""
    from blood_kedro.assembly.own_pictures import detect_into

    detected, rejects, page = detect_into(
        report_folder,
        [Path(str(detection.input))],
        work_folder,
        cell_px=detection.cell_px,
        score=detection.score_threshold,
    )
    logger.info("open %s", page)
    return detected.cells, detected.counts, rejects, report_folder


def _reported(
    images: DetectedPictures, notes: list[str], rejects: RejectLog, report_folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Path]:
    from blood_kedro.library.imaging.large import pixels_of
    from blood_kedro.library.reporting.picture_pages import PAGE, shown, write_own_report

    table = conform(Rejects, rejects.rows)
    pictures = (shown(name, pixels_of(file), images.given[name]) for name, file in images.files.items())
    page = write_own_report(report_folder, "Cells detected", pictures, images.cells, images.counts, notes, table) / PAGE
    logger.info("open %s", page)
    return images.cells, images.counts, table, report_folder
