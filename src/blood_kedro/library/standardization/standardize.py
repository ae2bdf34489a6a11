"""Algorithm 1 of Sahay 2025 for one source: from its ingested tables to the four standardized files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.distinct import file_names
from blood_kedro.library.core.errors import BadInputError, ConfigurationError
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import CLASS_IDS
from blood_kedro.library.standardization.journal import standardize_images
from blood_kedro.library.standardization.measured import LabelBox
from blood_kedro.library.standardization.one_image import ImageJob
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions

# The columns of annotations.csv: the paper's first (canvas px), then what this project adds.
CSV_COLUMNS = [
    "filename",
    "x",
    "y",
    "w",
    "h",
    "class_id",
    "label",
    "label_raw",
    "annotation_id",
    "image_id",
    "box_origin",
    "ignore",
]


@dataclass(frozen=True)
class Standardized:
    """What Algorithm 1 leaves for one source (images/ is already on disk).

    `annotations` has `CSV_COLUMNS`; `metadata` is keyed by file name; `classes` maps class name to id; `summary`
    says how boxes came about.
    """

    annotations: pd.DataFrame
    metadata: dict[str, dict[str, Any]]
    classes: dict[str, int]
    rejects: pd.DataFrame
    summary: dict[str, Any]


def standardize_source(
    index: pd.DataFrame,
    annotations: pd.DataFrame,
    raw_folder: Path,
    out_folder: Path,
    options: StandardizationOptions,
    *,
    seed: int,
    strict: bool,
) -> Standardized:
    """Standardize one source.

    Args:
        index: ImageIndex of one source.
        annotations: its RawAnnotations.
        raw_folder: folder that `index.path` is relative to.
        out_folder: `images/` is written here.
        options: settings.
        seed: global seed (jitter in paper mode).
        strict: raise when an image cannot be read, instead of listing it in rejects.

    Raises:
        ConfigurationError: a class that needs a size has none.
        BadInputError: `strict` and an image cannot be read.
    """
    source = str(index["source"].iloc[0])
    jobs = _jobs(index, annotations, raw_folder, options, seed)
    rows: list[dict[str, Any]] = []
    metadata: dict[str, dict[str, Any]] = {}
    rejects: list[dict[str, object]] = []
    facts = index.set_index("image_id").to_dict("index")
    labelled = set(annotations["image_id"])
    for record in standardize_images(jobs, out_folder, options.workers):
        image = facts[record["image_id"]]
        if record["error"] is not None:
            if strict:
                raise BadInputError(record["error"], where=f"{source}: {image['path']}")
            rejects.append(
                {
                    "source": source,
                    "path": image["path"],
                    "row": None,
                    "kind": "image",
                    "action": "dropped",
                    "reason": record["error"],
                }
            )
            continue
        metadata[record["file_name"]] = _metadata(record, image, without_cell=record["image_id"] not in labelled)
        rows += [_csv_row(record, box) for box in record["boxes"]]
    table = pd.DataFrame(rows, columns=CSV_COLUMNS)
    labels = sorted(table.loc[~table["ignore"].astype(bool), "label"].unique(), key=CLASS_IDS.__getitem__)
    return Standardized(
        annotations=table,
        metadata=metadata,
        classes={label: CLASS_IDS[label] for label in labels},
        rejects=conform(Rejects, rejects),
        summary=_summary(table, options),
    )


def _jobs(
    index: pd.DataFrame, annotations: pd.DataFrame, raw_folder: Path, options: StandardizationOptions, seed: int
) -> list[ImageJob]:
    source = str(index["source"].iloc[0])
    settings = options.sources.get(source, SourceBoxes())
    _require_sizes(source, annotations, settings)
    labels: dict[str, list[LabelBox]] = {}
    for row in records(annotations):
        x_min, y_min, x_max, y_max = (float(row[name]) for name in BOX_COLUMNS)
        box = LabelBox(
            row["annotation_id"],
            row["label_raw"],
            row["label"],
            (x_min, y_min, x_max, y_max),
            row["box_origin"],
            bool(row["ignore"]),
        )
        labels.setdefault(row["image_id"], []).append(box)
    names = file_names([str(name).partition("/")[2] for name in index["image_id"]], ".png")
    return [
        ImageJob(
            image_id=row["image_id"],
            source_path=raw_folder / row["path"],
            file_name=file_name,
            sha256=row["sha256"],
            labels=tuple(labels.get(row["image_id"], ())),
            settings=settings,
            options=options,
            seed=seed,
        )
        for row, file_name in zip(records(index), names, strict=True)
    ]


def _require_sizes(source: str, annotations: pd.DataFrame, settings: SourceBoxes) -> None:
    need = annotations.loc[annotations["box_origin"].isin(["point", "image"]), "label_raw"].unique()
    missing = sorted(set(need) - settings.class_size_px.keys())
    if missing:
        raise ConfigurationError(
            f"source {source} has labels without a box, and no size is configured for them",
            where=f"parameters: standardization.sources.{source}.class_size_px",
            got=", ".join(missing),
            remedy="give the usual width of the class in px of the original image",
        )


def _csv_row(record: dict[str, Any], box: dict[str, Any]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = box["box_xyxy_px"]
    return {
        "filename": record["file_name"],
        "x": x_min,
        "y": y_min,
        "w": x_max - x_min,
        "h": y_max - y_min,
        "class_id": CLASS_IDS[box["label"]],
        "image_id": record["image_id"],
        **{name: box[name] for name in ("label", "label_raw", "annotation_id", "box_origin", "ignore")},
    }


def _metadata(record: dict[str, Any], image: dict[Any, Any], *, without_cell: bool) -> dict[str, Any]:
    """`without_cell`: the source says of the image that it shows no cell of the classes that it labels."""
    return {
        "image_id": record["image_id"],
        **{name: None if pd.isna(image[name]) else image[name] for name in image},
        "scale": record["scale"],
        "new_size_px": list(record["new_size_px"]),
        "padding_px": list(record["padding_px"]),
        "without_cell": without_cell,
    }


def _summary(table: pd.DataFrame, options: StandardizationOptions) -> dict[str, Any]:
    """How many boxes were given, fitted, or fell back to the class size; how many cells carry no label."""
    labelled = table[~table["ignore"].astype(bool)]
    origins = Counter(labelled["box_origin"])
    boxes_made = origins["fitted"] + origins["point"] + origins["image"]
    return {
        "boxes": options.boxes,
        "labelled_boxes": len(labelled),
        "unlabelled_cells": int(table["ignore"].astype(bool).sum()),
        "boxes_made": boxes_made,
        "boxes_fitted": origins["fitted"],
        "boxes_class_sized": origins["point"] + origins["image"],
        "fitted_share": origins["fitted"] / boxes_made if boxes_made else None,
    }


def from_csv(table: pd.DataFrame) -> pd.DataFrame:
    """annotations.csv back to the project's columns: half-open xyxy boxes in canvas px."""
    boxes = pd.DataFrame(
        {
            "x_min_px": table["x"],
            "y_min_px": table["y"],
            "x_max_px": table["x"] + table["w"],
            "y_max_px": table["y"] + table["h"],
        }
    )
    columns = ["annotation_id", "image_id", "label_raw", "label", *BOX_COLUMNS, "box_origin", "ignore"]
    return pd.concat([table, boxes], axis=1)[columns]
