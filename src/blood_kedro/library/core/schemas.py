"""Schemas of the tables that pass between pipelines (checked when a dataset saves and when it loads)."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from blood_kedro.library.core.taxonomy import PARENT

BOX_ORIGINS = ("annotated", "point", "image", "fitted", "simulated")
SPLITS = ("train", "val", "test")
REJECT_KINDS = ("image", "label_file", "annotation", "litter", "cell")
REJECT_ACTIONS = ("dropped", "merged", "repaired", "noted")


class _Table(pa.DataFrameModel):
    class Config:
        strict = True
        coerce = True
        ordered = False


class ImageIndex(_Table):
    """One row per readable image of a source. `image_id` is `<source>/<relative stem>`; sizes as viewed."""

    image_id: Series[str] = pa.Field(unique=True)
    source: Series[str]
    path: Series[str] = pa.Field(description="absolute, or relative to the source's folder")
    width_px: Series[int] = pa.Field(gt=0)
    height_px: Series[int] = pa.Field(gt=0)
    sha256: Series[str] = pa.Field(str_length={"min_value": 64, "max_value": 64})
    group_id: Series[str] = pa.Field(nullable=True, description="patient, slide or smear where known")
    official_split: Series[str] = pa.Field(nullable=True, isin=SPLITS)


class _Annotation(_Table):
    annotation_id: Series[str] = pa.Field(unique=True)
    image_id: Series[str]
    label_raw: Series[str]
    label: Series[str] = pa.Field(isin=list(PARENT))
    x_min_px: Series[float]
    y_min_px: Series[float]
    x_max_px: Series[float]
    y_max_px: Series[float]
    box_origin: Series[str] = pa.Field(isin=BOX_ORIGINS)
    ignore: Series[bool]


class RawAnnotations(_Annotation):
    """Annotations as a source gives them, px of the original image.

    A point has x_min = x_max and y_min = y_max; an image-level label (`box_origin` image) spans the image.
    `row` is the line or object number in the label file, from 1.
    """

    row: Series[int]

    @pa.dataframe_check(error="x_min_px <= x_max_px and y_min_px <= y_max_px")
    def not_inverted(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Boxes may be points here, but never inverted."""
        return (table["x_min_px"] <= table["x_max_px"]) & (table["y_min_px"] <= table["y_max_px"])


class Annotations(_Annotation):
    """Annotations with real boxes, px of the standardized canvas, half-open."""

    @pa.dataframe_check(error="x_min_px < x_max_px and y_min_px < y_max_px")
    def not_empty(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Every box has an area."""
        return (table["x_min_px"] < table["x_max_px"]) & (table["y_min_px"] < table["y_max_px"])


class Masks(_Table):
    """Instance masks, COCO run-length encoded in px of the original image; one row per annotation."""

    annotation_id: Series[str] = pa.Field(unique=True)
    image_id: Series[str]
    height_px: Series[int]
    width_px: Series[int]
    rle_counts: Series[str]


class SimulatedTruth(_Table):
    """What only the simulator knows of a cell: one row per annotation of a generated field, px of the field.

    Cells whose pixels touch are one clump; `clump` counts from 1 in each image. `number` is the cell's own on its
    smear: parts of one cell in several tiles share it.
    """

    annotation_id: Series[str] = pa.Field(unique=True)
    image_id: Series[str]
    label: Series[str] = pa.Field(isin=list(PARENT))
    kind: Series[str] = pa.Field(description="family it was drawn from, finer than the label")
    number: Series[int] = pa.Field(ge=0)
    centre_x_px: Series[float]
    centre_y_px: Series[float]
    area_px2: Series[int] = pa.Field(gt=0)
    visible_share: Series[float] = pa.Field(gt=0, le=1)
    overlap_share: Series[float] = pa.Field(ge=0, le=1)
    clump: Series[int] = pa.Field(gt=0)
    clump_cells: Series[int] = pa.Field(gt=0)
    slide: Series[str]
    scanner: Series[str]
    seed: Series[int]
    px_per_um: Series[float] = pa.Field(gt=0)


class Rejects(_Table):
    """What was not taken as found: `dropped`, `merged` into another row, `repaired`, or only `noted`."""

    source: Series[str]
    path: Series[str]
    row: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    kind: Series[str] = pa.Field(isin=REJECT_KINDS)
    action: Series[str] = pa.Field(isin=REJECT_ACTIONS)
    reason: Series[str]


class CellTable(_Table):
    """Single-cell crops. `group_id` is what a split keeps whole: slide, or group of images that show one field.

    `part` is that of the group in `ImageGroups`, null in sets that are no source of images. `tile_group` is shared by
    tiles of one slide that show the same place, null where a slide is not cut into tiles: what a split within a slide
    keeps whole.

    `shape` is one of `paper_003.NINE_SHAPES` or `other`, `label` a class of the taxonomy; null where the source does
    not say. `x_px`, `y_px` is the middle of the crop in its image.
    """

    cell_id: Series[str] = pa.Field(unique=True)
    source: Series[str]
    image_id: Series[str]
    group_id: Series[str]
    part: Series[str] = pa.Field(nullable=True, isin=SPLITS)
    tile_group: Series[str] = pa.Field(nullable=True)
    slide: Series[str] = pa.Field(nullable=True)
    scanner: Series[str] = pa.Field(nullable=True)
    label_raw: Series[str]
    label: Series[str] = pa.Field(nullable=True)
    shape: Series[str] = pa.Field(nullable=True)
    x_px: Series[float] = pa.Field(nullable=True)
    y_px: Series[float] = pa.Field(nullable=True)
    has_mask: Series[bool]
    mask_origin: Series[str] = pa.Field(nullable=True, isin=["annotated", "simulated", "segmented", "sam"])


class OverlapCrops(_Table):
    """Red cells in boxes and what was measured of them (`overlap/regions.py`); the row order is that of their crops.

    `component` numbers the connected components of an image, 0: no cell found. `true_cells` is how many cells that
    component really holds, null where nobody knows; never trained on.
    """

    cell_id: Series[str] = pa.Field(unique=True)
    image_id: Series[str]
    group_id: Series[str]
    part: Series[str] = pa.Field(isin=SPLITS)
    x_min_px: Series[float]
    y_min_px: Series[float]
    x_max_px: Series[float]
    y_max_px: Series[float]
    component: Series[int] = pa.Field(ge=0)
    at_border: Series[bool]
    otsu_area: Series[float] = pa.Field(nullable=True)
    relative_area: Series[float] = pa.Field(nullable=True)
    neighbour_iou: Series[float] = pa.Field(ge=0, le=1)
    concavity: Series[float] = pa.Field(nullable=True)
    peaks: Series[int] = pa.Field(ge=0)
    ellipse_residual: Series[float] = pa.Field(nullable=True)
    solidity: Series[float] = pa.Field(nullable=True)
    true_cells: Series[float] = pa.Field(nullable=True)


class UnifiedIndex(ImageIndex):
    """The merged corpus: one row per image of it, after duplicates were merged (Algorithm 2)."""

    global_id: Series[int] = pa.Field(unique=True, gt=0)
    file_name: Series[str] = pa.Field(unique=True)
    duplicate_group: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)


class ImageGroups(_Table):
    """What every pipeline splits by: one row per standardized image of every enabled source.

    Images of one slide or patient, copies, and images that show the same field have one `group_id`, the name of the
    first of them. `part` is drawn once for each group. `copy_of` is the image that holds the labels of all those with
    the same pixels; the copy itself is not in the unified corpus.
    """

    image_id: Series[str] = pa.Field(unique=True)
    source: Series[str]
    group_id: Series[str]
    part: Series[str] = pa.Field(isin=SPLITS)
    copy_of: Series[str] = pa.Field(nullable=True)

    @pa.dataframe_check(error="a group has one part")
    def whole(cls, table: pd.DataFrame) -> bool:
        """No group stands in two parts."""
        return not table[["group_id", "part"]].drop_duplicates()["group_id"].duplicated().any()


class DuplicatePairs(_Table):
    """Pairs of images that show the same field. `shift_*` moves image a onto image b, px of the thumbnail frame."""

    image_a: Series[str]
    image_b: Series[str]
    kind: Series[str] = pa.Field(isin=["same_pixels", "near_hash", "turned_copy", "shifted_field"])
    similarity: Series[float]
    overlap_share: Series[float]


def empty(schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    """A table of no rows with the columns and dtypes of a schema."""
    return schema.empty()


def conform(schema: type[pa.DataFrameModel], rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a table with the columns and dtypes of a schema (columns may be missing when there are no rows)."""
    if not rows:
        return empty(schema)
    return schema.validate(pd.DataFrame(rows, columns=list(schema.to_schema().columns)))
