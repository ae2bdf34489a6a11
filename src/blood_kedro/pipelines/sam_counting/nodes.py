"""Nodes of a count from pictures to cells: they adapt the catalog and MLflow to `library/counting`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from blood_kedro import tracking
from blood_kedro.assembly.count_rules import COUNT_RULES
from blood_kedro.assembly.namers import look_of_namer, namer, type_namer
from blood_kedro.assembly.segmenters import segmenter, segmenter_of
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.pipelines.sam_counting.handed_on import corner_of, opened
from blood_kedro.plan.names import OWN

if TYPE_CHECKING:
    from blood_kedro.library.counting.open.smear import Smear
    from blood_kedro.library.counting.segment.looks import Look

logger = logging.getLogger(__name__)


def open_smears(
    options: SmearInput,
    work_folder: Path,
    classifier: ModelBundle | None = None,
    raw_folder: Path | None = None,
    image_index: pd.DataFrame | None = None,
    image_groups: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], pd.DataFrame, str]:
    """Open what is counted, measure the width of its red cells where that is asked for, and begin its MLflow run.

    Returns:
        Tiles, one row each; fields of slides that were looked at, and which of them are counted; which smears may judge
        the count, and why (empty without a reference); rejects; and the id of the run, which the later nodes log to.
    """
    from blood_kedro.assembly.open_input import open_input
    from blood_kedro.assembly.scale import check_given_in
    from blood_kedro.library.counting.draw.fields_map import fields_map
    from blood_kedro.library.counting.open.table import table_of_tiles
    from blood_kedro.library.counting.score.held_out import held_out

    judges: dict[str, Any] = {}
    if image_index is not None and image_groups is not None:
        of_classifier = None if classifier is None else classifier.config
        models = [config for config in (segmenter_of(options).learnt_from(), of_classifier) if config is not None]
        judging = held_out(image_index, Groups.of(image_groups), models, f"sam_counting.inputs.{options.name}")
        judges = {"smears": sorted(judging.names), "facts": judging.facts}
    rejects = RejectLog(options.name)
    paths = _paths(options, raw_folder, image_index)
    opened_input = open_input(options, paths, work_folder, rejects)
    if options.name == OWN:
        check_given_in(options, opened_input.smears)
    options = opened_input.options
    with tracking.child_run(options.name, "count") as run_id:
        tracking.log_parameters(options.model_dump(mode="json"))
        for smear in opened_input.smears:
            fields = opened_input.choice[opened_input.choice["smear"] == smear.name]
            if len(fields):
                tracking.log_figure(fields_map(smear, fields), f"fields_{smear.name}.png")
    tiles = table_of_tiles(opened_input.smears, options.cell_px)
    return tiles, opened_input.choice, judges, conform(Rejects, rejects.rows), run_id


def segment_tiles(
    options: SmearInput, tiles: pd.DataFrame, open_rejects: pd.DataFrame, work_folder: Path, run_id: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Masks of every tile, which are kept below the work folder; what later nodes want to see of tiles is kept, too.

    Returns:
        One row per tile: what was found and dropped, and the folder that its masks are in; and all rejects.
    """
    from blood_kedro.library.counting.segment.tiles import segment_smears

    options, smears = opened(options, tiles)
    rejects = RejectLog(options.name)
    looks = _looks(options, smears)
    with tracking.reopened(run_id):
        segmented = segment_smears(smears, options, segmenter(options), work_folder, rejects, looks)
    return segmented, pd.concat([open_rejects, conform(Rejects, rejects.rows)], ignore_index=True)


def name_masks(
    options: SmearInput,
    tiles: pd.DataFrame,
    segmented: pd.DataFrame,
    work_folder: Path,
    run_id: str,
    classifier: ModelBundle | None = None,
) -> pd.DataFrame:
    """Probabilities of red cell, white cell and platelet for every mask."""
    from blood_kedro.library.counting.name.namers import name_smears

    options, smears = opened(options, tiles)
    with tracking.reopened(run_id):
        return name_smears(smears, segmented, work_folder, namer(options, classifier))


def count_cells(
    options: SmearInput,
    tiles: pd.DataFrame,
    segmented: pd.DataFrame,
    kinds: pd.DataFrame,
    work_folder: Path,
    run_id: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Counts, one row per smear; cells and their masks, one row each; fields, one row per tile."""
    from blood_kedro.library.counting.count.smears import count_smears

    options, smears = opened(options, tiles)
    with tracking.reopened(run_id):
        counted = count_smears(smears, segmented, kinds, options, COUNT_RULES, work_folder, type_namer(options))
    return counted.counts, counted.cells, counted.masks, counted.fields


def _looks(options: SmearInput, smears: list[Smear]) -> list[Look]:
    """What later nodes want to see of tiles."""
    from blood_kedro.library.counting.draw.looks import ReducedLook
    from blood_kedro.library.counting.score.reference_masks import ReferenceLook
    from blood_kedro.library.reporting.picture_pages import MOST_PX

    looks: list[Look] = [corner_of(smears[0])]
    to_name = look_of_namer(options)
    if to_name is not None:
        looks.append(to_name)
    if options.reference_masks:
        looks.append(ReferenceLook(Path(options.reference_masks), options))
    if options.name == OWN:  # its page shows whole smears
        looks.append(ReducedLook(MOST_PX))
    return looks


def _paths(options: SmearInput, raw_folder: Path | None, image_index: pd.DataFrame | None) -> list[Path]:
    """Files or folders to open: the images of a source, or what the user named."""
    if options.source is None:
        return [Path(str(options.path))]
    if raw_folder is None or image_index is None:
        raise TypeError("pipeline.py does not wire the images of this source")
    return [raw_folder / path for path in image_index["path"]]
