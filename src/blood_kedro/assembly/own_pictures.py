"""Cells of a user's own pictures by the detector that comes with the project, as a page with tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.detection.detect_pictures import DetectedPictures
from blood_kedro.library.imaging.large import pixels_of
from blood_kedro.library.reporting.picture_pages import PAGE, shown, write_own_report
from blood_kedro.library.shipped.bundle import describe_shipped
from blood_kedro.library.shipped.detect_pictures import find_cells


def detect_into(
    folder: Path, paths: Sequence[Path], work_folder: Path, *, cell_px: float | None, score: float | None
) -> tuple[DetectedPictures, pd.DataFrame, Path]:
    """Find cells and write the page of them in place of what `folder` held.

    Args:
        folder: becomes the page, overlays and tables.
        paths: pictures, or one folder of them.
        work_folder: large pictures are unpacked there.
        cell_px: width of a red cell, px of the pictures; None measures it on each.
        score: cells that are less sure are left out; None takes the model's own thresholds.

    Returns:
        Cells and counts, rejects, and the path of the page.

    Raises:
        SourceNotFoundError: there is no picture that can be read.
    """
    rejects = RejectLog("own")
    detected = find_cells(paths, cell_px, score, work_folder, rejects)
    how = "measured on each picture" if cell_px is None else "as given"
    notes = [
        f"{describe_shipped()} What it finds and what it does not: docs/model_cards.md.",
        f"cell_px: width of a red cell in px of the picture, {how}; where it looks wrong, say it: "
        "make detect IMAGES=... CELL_PX=<px>. Look at the overlays before you use a number.",
        "Types of white cells and shapes of red ones are by the shipped classifiers; other means unsure. "
        "Shapes were learnt from one laboratory alone: do not trust them on another.",
    ]
    table = conform(Rejects, rejects.rows)
    pictures = (shown(name, pixels_of(file), detected.given[name]) for name, file in detected.files.items())
    page = write_own_report(folder, "Cells detected", pictures, detected.cells, detected.counts, notes, table) / PAGE
    return detected, table, page
