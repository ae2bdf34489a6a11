"""Nodes of standardization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.standardization.options import StandardizationOptions


def standardize(
    image_index: pd.DataFrame,
    raw_annotations: pd.DataFrame,
    raw_folder: Path,
    standardized_folder: Path,
    standardization: StandardizationOptions,
    seed: int,
    on_bad_input: str,
) -> tuple[Path, pd.DataFrame, dict[str, Any], dict[str, int], pd.DataFrame, dict[str, Any]]:
    """Algorithm 1 for one source: images are written into the folder, the tables are handed on."""
    from blood_kedro.library.standardization.standardize import standardize_source

    outputs = standardize_source(
        image_index,
        raw_annotations,
        raw_folder,
        standardized_folder,
        standardization,
        seed=seed,
        strict=on_bad_input == "raise",
    )
    images = standardized_folder / "images"
    return images, outputs.annotations, outputs.metadata, outputs.classes, outputs.rejects, outputs.summary
