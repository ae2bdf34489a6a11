"""Nodes that say and show what was counted: scores, figures, masks for other programs, a page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.assembly.count_rules import COUNT_RULES
from blood_kedro.assembly.namers import models_used
from blood_kedro.assembly.segmenters import segmenter_of
from blood_kedro.library.core.annotations import Figure
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.pipelines.sam_counting.handed_on import as_counted, corner_of, opened

logger = logging.getLogger(__name__)


def score_counts(
    options: SmearInput,
    tiles: pd.DataFrame,
    segmented: pd.DataFrame,
    smear_counts: pd.DataFrame,
    judges: dict[str, Any],
    work_folder: Path,
    run_id: str,
    image_index: pd.DataFrame | None = None,
    raw_annotations: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Counts beside what is known; only smears that no model learnt from are compared.

    Returns:
        Counts, with labelled cells where a source has them; totals, with errors where a reference is known.
    """
    from blood_kedro.library.counting.chain import totals_of
    from blood_kedro.library.counting.score.by_hand import count_accuracy
    from blood_kedro.library.counting.score.held_out import unseen
    from blood_kedro.library.counting.score.reference import errors, with_reference
    from blood_kedro.library.counting.score.reference_masks import mask_agreement

    options, smears = opened(options, tiles)
    counts = as_counted(smear_counts)
    totals: dict[str, Any] = {"input": options.model_dump(mode="json"), "mlflow_run_id": run_id, **totals_of(counts)}
    if judges and image_index is not None and raw_annotations is not None and image_groups is not None:
        counts = with_reference(counts, image_index, raw_annotations, Groups.of(image_groups))
        counts["held_out"] = counts["smear"].isin(judges["smears"])
        totals["held_out"] = judges["facts"]
        totals["errors"] = errors(counts[counts["held_out"]], list(COUNT_RULES), options.resamples, options.seed)
    if options.counted_by_hand:
        totals["by_hand"] = count_accuracy(counts, options.counted_by_hand)
    if options.reference_masks:
        compared, totals["smears_learnt_from"] = unseen(smears, segmenter_of(options).learnt_from())
        totals["agreement"] = mask_agreement(compared, segmented, work_folder, options)
    with tracking.reopened(run_id):
        tracking.log_metrics({name: value for name, value in totals.items() if name != "input"})
    return counts, totals


def draw_count(
    options: SmearInput,
    tiles: pd.DataFrame,
    segmented: pd.DataFrame,
    smear_counts: pd.DataFrame,
    counts: pd.DataFrame,
    cells: pd.DataFrame,
    masks: pd.DataFrame,
    work_folder: Path,
    masks_folder: Path,
    run_id: str,
) -> tuple[Figure, Path]:
    """A figure of the first smear, counts beside the reference in MLflow, and masks for other programs.

    The masks of an earlier count are gone even where none are asked for now.
    """
    from blood_kedro.library.counting.count.smears import masks_of
    from blood_kedro.library.counting.draw.figures import reference_figure, smear_figure
    from blood_kedro.library.counting.draw.looks import corner
    from blood_kedro.library.counting.draw.masks import masks_written, write_smears
    from blood_kedro.library.counting.segment.tiles import folders_of

    with masks_written(masks_folder, wanted=options.write_masks) as folder:
        if folder is not None:
            write_smears(folder, smear_counts, cells, masks)
    smear = opened(options, tiles)[1][0]
    picture = corner(smear, folders_of(segmented, work_folder)[smear.name], corner_of(smear))
    smear_cells, smear_masks = (table[table["smear"] == smear.name] for table in (cells, masks))
    row = smear_counts[smear_counts["smear"] == smear.name].to_dict("records")[0]
    figure = smear_figure(
        picture, {str(name): value for name, value in row.items()}, smear_cells, masks_of(smear_masks)
    )
    with tracking.reopened(run_id):
        if "held_out" in counts:
            tracking.log_figure(reference_figure(counts[counts["held_out"]]), "reference.png")
        tracking.log_figure(figure, "smear.png")
    return figure, masks_folder


def present_own_smear(
    options: SmearInput,
    tiles: pd.DataFrame,
    segmented: pd.DataFrame,
    smear_counts: pd.DataFrame,
    cells: pd.DataFrame,
    rejects: pd.DataFrame,
    work_folder: Path,
    masks_folder: Path,
    report_folder: Path,
    classifier: ModelBundle | None = None,
) -> Path:
    """All that a user gets for a smear of their own in one folder: page, overlays, tables, COCO json, and masks."""
    from blood_kedro.library.counting.draw.looks import ReducedLook, reduced
    from blood_kedro.library.counting.segment.tiles import folders_of
    from blood_kedro.library.reporting.picture_pages import MOST_PX, PAGE, Picture, write_own_report

    options, smears = opened(options, tiles)
    folders, look = folders_of(segmented, work_folder), ReducedLook(MOST_PX)
    pictures = (Picture(smear.name, *reduced(smear, folders[smear.name], look), smear.file) for smear in smears)
    used = models_used(options, classifier)
    for line in used:
        logger.info("%s", line)
    notes = [
        *used,
        f"Segmented by {options.segmenter!r}, red cells counted by the rule {options.count_rule!r}. The 95% "
        "interval tells how far the count would vary with other fields of the same smear.",
    ]
    if not bool(smear_counts["fit_for_counting"].astype(bool).all()):
        notes.append("A smear marked as not fit for counting has too many overlapping cells, or none, to be trusted.")
    named = cells.rename(columns={"smear": "image", "confidence": "score"})
    counts = as_counted(smear_counts)
    shown = counts.rename(columns={"smear": "image"}).dropna(axis=1, how="all")
    written = write_own_report(
        report_folder, "Cells counted", pictures, named, shown, notes, rejects, {"masks": masks_folder}
    )
    logger.info("open %s", written / PAGE)
    return written
