"""Nodes of rbc_morphology: they adapt the catalog and MLflow to `library/cells` and `library/morphology`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro import tracking
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.cells.reader import SetToRead
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.crop_set import CropSet, gather_crops
from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.morphology.options import Classifier, Segmenter


def cut_cells(
    options: CellOptions,
    side_px: int,
    seed: int,
    on_bad_input: str,
    source: str,
    raw_folder: Path | None = None,
    image_index: pd.DataFrame | None = None,
    raw_annotations: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[CropSet, pd.DataFrame]:
    """Cut the cells of a source once, for every training that follows; what cannot be used goes to rejects."""
    from blood_kedro.assembly.crop_readers import crop_reader

    rejects = RejectLog(source, strict=on_bad_input == "raise")
    set_to_read = SetToRead(raw_folder, image_index, raw_annotations, image_groups)
    gathered = gather_crops(crop_reader(options).read(set_to_read, side_px, seed, rejects), side_px)
    return gathered, conform(Rejects, rejects.rows)  # rejects are known when the last crop is cut


def count_cells(cells: CropSet) -> pd.DataFrame:
    """Cells by class and scanner (Elmanna et al. 2024, Fig. 3)."""
    from blood_kedro.library.cells.describe import cells_by_class_and_scanner

    return cells_by_class_and_scanner(cells.table)


def train_segmenter(
    cells: CropSet, work_folder: Path, options: Segmenter, namespace: str
) -> tuple[ModelBundle, pd.DataFrame, dict[str, Any], list[int], str]:
    """Train and measure a U-Net in its own MLflow child run."""
    from blood_kedro.library.morphology.segment import train_segmenter as train

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    with tracking.child_run(namespace, "segmenter") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        trained = train(cells, options, work_folder, log_epoch)
        tracking.log_metrics(tracking.of_part("test", trained.metrics))
        tracking.log_data(f"{options.source}.cells", table_fingerprint(cells.table), "training")
        tracking.log_model("cell_segmenter", trained.model)
    metrics = {**trained.metrics, "segmenter": options.model_dump(mode="json"), "mlflow_run_id": run_id}
    return trained.model, pd.DataFrame(trained.history), metrics, trained.test, run_id


def draw_masks(cells: CropSet, model: ModelBundle, test: list[int], run_id: str) -> Figure:
    """Good and hard cells of the test groups (Elmanna et al. 2024, Figs. 9 and 10), also in MLflow."""
    from blood_kedro.library.morphology.figures import masks_figure
    from blood_kedro.library.morphology.networks import load_segmenter
    from blood_kedro.library.morphology.segment import predict_masks

    rows = np.array(test, np.int64)
    predicted = predict_masks(load_segmenter(model), cells.crops, rows)
    figure = masks_figure(np.asarray(cells.crops[rows]), np.asarray(cells.masks[rows]), predicted)
    with tracking.reopened(run_id):
        tracking.log_figure(figure, "masks.png")
    return figure


def train_classifier(
    cells: CropSet, work_folder: Path, options: Classifier, segmenter: ModelBundle | None = None
) -> tuple[ModelBundle, pd.DataFrame, pd.DataFrame, dict[str, Any], str]:
    """Train every run of a variant in one MLflow child run."""
    from blood_kedro.library.morphology.cross_validate import train_variant

    with tracking.child_run(options.name, "cell classifier") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        variant = train_variant(
            cells,
            segmenter,
            options,
            work_folder,
            lambda number, facts: tracking.log_metrics(
                {key: facts[key] for key in ("train_s", "test_s", "best_epoch", "val_loss")}, step=number
            ),
        )
        tracking.log_metrics({"parameters_m": variant.facts["parameters_m"], "size_mb": variant.facts["size_mb"]})
        tracking.log_data(f"{options.source}.cells", table_fingerprint(cells.table), "training")
        tracking.log_model("cell_classifier", variant.model)
    return variant.model, variant.predictions, variant.history, variant.facts, run_id


def score_classifier(
    predictions: pd.DataFrame, facts: dict[str, Any], options: Classifier, run_id: str, seed: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measures over runs (Tables 4 and 8) and what the predictions say of each smear, logged to the variant's run."""
    from blood_kedro.library.morphology.summary import score_variant, smear_findings

    score = score_variant(predictions, facts, options.resamples, seed)
    with tracking.reopened(run_id):
        tracking.log_metrics(tracking.of_part("test", score))
    findings = smear_findings(predictions, facts["classes"])
    return {**score, "mlflow_run_id": run_id, "classifier": options.model_dump(mode="json")}, findings


def draw_classifier(
    cells: CropSet,
    model: ModelBundle,
    predictions: pd.DataFrame,
    metrics: dict[str, Any],
    run_id: str,
    segmenter: ModelBundle | None = None,
) -> tuple[Figure, Figure]:
    """Confusion, ROC, calibration and abstention; and where the classifier looks. Also in MLflow."""
    from blood_kedro.library.morphology.attention import attention_maps, chosen_cells
    from blood_kedro.library.morphology.figures import attention_figure, variant_figure

    chosen = chosen_cells(predictions, metrics["classes"], model.config["run"])
    seen, maps = attention_maps(model, cells, segmenter, chosen)
    titles = [
        f"{row['class']}\nfound {row['found']} {row['confidence']:.2f}".replace("_", " ")
        for row in chosen.to_dict("records")
    ]
    drawn = variant_figure(predictions, metrics), attention_figure(seen, maps, titles)
    with tracking.reopened(run_id):
        for figure, name in zip(drawn, ("classification.png", "attention.png"), strict=True):
            tracking.log_figure(figure, name)
    return drawn


def compare_classifiers(reference: str, **results: Any) -> tuple[pd.DataFrame, Figure]:  # noqa: ANN401 - see pipeline.py
    """All variants side by side (Tables 5 to 7, Fig. 8); `results`: `<variant>__metrics` and `<variant>__facts`."""
    from blood_kedro.library.morphology.figures import comparison_figure
    from blood_kedro.library.morphology.summary import compare

    names = [name.removesuffix("__metrics") for name in results if name.endswith("__metrics")]
    table = compare(
        {name: results[f"{name}__metrics"] for name in names},
        {name: results[f"{name}__facts"] for name in names},
        reference,
    )
    return table, comparison_figure(table)
