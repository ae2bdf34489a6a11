"""Nodes of sam_counting: they adapt the catalog and MLflow to `library/counting`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure  # Kedro reads the annotations of nodes

from blood_kedro import tracking
from blood_kedro.library.core.cells import Cells, write_cells
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle, load_config
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.core.schemas import Rejects as RejectsSchema
from blood_kedro.library.core.schemas import conform
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.pipelines.sam_counting.segmenters import models_used, namer, segmenter, type_namer

logger = logging.getLogger(__name__)


def cut_cutouts(
    folder: Path,
    options: CutoutOptions,
    raw_folder: Path,
    on_bad_input: str,
    image_index: pd.DataFrame | None = None,
    raw_annotations: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[Cells, pd.DataFrame]:
    """Cut masks out once, for every classifier that learns from them; what cannot be used goes to rejects."""
    from blood_kedro.library.counting.cutouts import published_cutouts, segmented_cutouts

    rejects = Rejects(options.name, strict=on_bad_input == "raise")
    if image_index is None or raw_annotations is None or image_groups is None:
        cells = published_cutouts(raw_folder / "compiled_dataset", options, rejects)
    else:
        cells = segmented_cutouts(
            raw_folder, image_index, raw_annotations, Groups.of(image_groups), options, segmenter(options), rejects
        )
    return write_cells(folder, cells, options.side_px), conform(RejectsSchema, rejects.rows)


def train_kinds(
    options: KindClassifier,
    first_cutouts: CutoutOptions,
    work_folder: Path,
    start: ModelBundle | None = None,
    **cutouts: Cells,
) -> tuple[ModelBundle, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any], Figure]:
    """Search, train and test a classifier of cutouts in its own MLflow child run (paper 004, Tables 1 to 4)."""
    from blood_kedro.library.counting.figures import kinds_figure
    from blood_kedro.library.counting.kind_study import train_kinds as train

    def log_epoch(row: dict[str, float]) -> None:
        tracking.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))

    sets = [cutouts[name] for name in options.cutouts]
    with tracking.child_run(options.name, "kind classifier") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        made = train(sets, first_cutouts, options, work_folder, start, log_epoch)
        tracking.log_metrics({f"test_{name}": value for name, value in made.metrics.items()})
        tracking.log_data(", ".join(options.cutouts), str(made.metrics["data_fingerprint"]), "training")
        tracking.log_model("kind_classifier", made.model)
        figure = kinds_figure(sets, made.answers, made.metrics, options)
        tracking.log_figure(figure, "kinds.png")
    metrics = {**made.metrics, "classifier": options.model_dump(mode="json"), "mlflow_run_id": run_id}
    return made.model, made.answers, made.search, made.history, metrics, figure


def count_smears(
    options: SmearInput,
    work_folder: Path,
    output_folder: Path,
    classifier: ModelBundle | None = None,
    raw_folder: Path | None = None,
    image_index: pd.DataFrame | None = None,
    raw_annotations: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any], Figure, pd.DataFrame]:
    """Segment, name and count every smear of an input; only smears that no model learnt from are compared.

    Returns:
        Counts, one row per smear; cells, one row each; fields, one row per tile; totals, with errors where a reference
        is known; a figure of the first smear; and rejects.
    """
    from blood_kedro.library.counting.by_hand import count_accuracy
    from blood_kedro.library.counting.figures import reference_figure, smear_figure
    from blood_kedro.library.counting.held_out import held_out, unseen
    from blood_kedro.library.counting.reference import errors, mask_agreement, with_reference
    from blood_kedro.library.counting.run import count_all
    from blood_kedro.library.counting.smear import open_smears
    from blood_kedro.library.shipped.own import at_measured_scale

    rejects = Rejects(options.name)
    unet = load_config(Path(str(options.model))) if options.segmenter == "unet" else None
    judges, groups = None, None if image_groups is None else Groups.of(image_groups)
    if image_index is not None and groups is not None:
        models = ([] if unet is None else [unet]) + ([] if classifier is None else [classifier.config])
        judges = held_out(image_index, groups, models, f"sam_counting.inputs.{options.name}")
    paths = _paths(options, raw_folder, image_index)
    smears = open_smears(paths, options.tile_px, options.overlap_px, work_folder, rejects, options.layout)
    options = at_measured_scale(options, smears)
    with tracking.child_run(options.name, "count") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        made = count_all(
            smears,
            options,
            segmenter(options),
            namer(options, classifier),
            work_folder,
            output_folder,
            rejects,
            type_namer(options),
        )
        counts = made.counts
        totals: dict[str, Any] = {"input": options.model_dump(mode="json"), "mlflow_run_id": run_id, **made.totals}
        if judges and groups and image_index is not None and raw_annotations is not None:
            counts = with_reference(counts, image_index, raw_annotations, groups)
            counts["held_out"] = counts["smear"].isin(judges.names)
            judged = counts[counts["held_out"]]
            totals["held_out"] = judges.facts
            totals["errors"] = errors(judged, options.resamples, options.seed)
            tracking.log_figure(reference_figure(judged), "reference.png")
        if options.counted_by_hand:
            totals["by_hand"] = count_accuracy(counts, options.counted_by_hand)
        if options.reference_masks:
            masks, totals["smears_learnt_from"] = unseen(made.masks, unet)
            totals["agreement"] = mask_agreement(masks, options)
        tracking.log_metrics({name: value for name, value in totals.items() if name != "input"})
        figure = smear_figure(smears[0], made.first)
        tracking.log_figure(figure, "smear.png")
    return counts, made.cells, made.fields, totals, figure, conform(RejectsSchema, rejects.rows)


def present_own_smear(
    counts: pd.DataFrame,
    cells: pd.DataFrame,
    rejects: pd.DataFrame,
    options: SmearInput,
    work_folder: Path,
    report_folder: Path,
    classifier: ModelBundle | None = None,
) -> Path:
    """A page for a smear of the user's own: overlays, counts, a table per cell and a COCO json."""
    from blood_kedro.library.counting.smear import open_smears, reduced
    from blood_kedro.library.reporting.own_images import MOST_PX, PAGE, Picture, write_own_report

    paths = _paths(options, None, None)
    smears = open_smears(paths, options.tile_px, options.overlap_px, work_folder, Rejects(options.name), options.layout)
    pictures = (Picture(smear.name, *reduced(smear, MOST_PX), smear.file) for smear in smears)
    used = models_used(options, classifier)
    for line in used:
        logger.info("%s", line)
    notes = [
        *used,
        f"Segmented by {options.segmenter!r}, red cells counted by the rule {options.count_rule!r}. The interval says "
        "what other fields of the same smear would have given.",
    ]
    if not bool(counts["fit_for_counting"].astype(bool).all()):
        notes.append("A smear marked as not fit for counting has too many overlapping cells, or none, to be trusted.")
    found = cells.rename(columns={"smear": "image", "confidence": "score"})
    shown = counts.rename(columns={"smear": "image"}).dropna(axis=1, how="all")
    written = write_own_report(report_folder, "Cells counted", pictures, found, shown, notes, rejects)
    logger.info("open %s", written / PAGE)
    return written


def _paths(options: SmearInput, raw_folder: Path | None, image_index: pd.DataFrame | None) -> list[Path]:
    """Files or folders to open: the images of a source, or what the user named."""
    if options.source is None:
        return [Path(str(options.path))]
    if raw_folder is None or image_index is None:
        raise TypeError("pipeline.py does not wire the images of this source")
    return [raw_folder / path for path in image_index["path"]]
