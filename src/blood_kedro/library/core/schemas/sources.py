"""Tables of a source as it is: its pictures, its labels, its masks, and what it could not give."""

from __future__ import annotations

import pandas as pd
from pandera.pandas import dataframe_check
from pandera.typing import Series

from blood_kedro.library.core.schemas.table import SPLITS, Table, column
from blood_kedro.library.core.taxonomy import PARENT

BOX_ORIGINS = ("annotated", "point", "image", "fitted", "simulated")
REJECT_KINDS = ("image", "label_file", "annotation", "litter", "cell")
REJECT_ACTIONS = ("dropped", "merged", "repaired", "noted")


class ImageIndex(Table):
    """One row per readable picture of a source; sizes as viewed."""

    image_id: Series[str] = column("`<source>/<relative stem>`", unique=True)
    source: Series[str] = column("name of the source")
    path: Series[str] = column("absolute, or relative to the source's folder")
    width_px: Series[int] = column("width as viewed, px", gt=0)
    height_px: Series[int] = column("height as viewed, px", gt=0)
    sha256: Series[str] = column("of the file, 64 hexadecimal digits", str_length={"min_value": 64, "max_value": 64})
    group_id: Series[str] = column("patient, slide or smear where known", nullable=True)
    official_split: Series[str] = column("part that the source itself names", nullable=True, isin=SPLITS)


class BoxedLabel(Table):
    """A label of one cell and its box."""

    annotation_id: Series[str] = column("`<image_id>#<number>`", unique=True)
    image_id: Series[str] = column("picture that it is of")
    label_raw: Series[str] = column("label in the source's own word")
    label: Series[str] = column("class of the taxonomy", isin=list(PARENT))
    x_min_px: Series[float] = column("left edge of the box, px")
    y_min_px: Series[float] = column("upper edge, px")
    x_max_px: Series[float] = column("right edge, px, exclusive")
    y_max_px: Series[float] = column("lower edge, px, exclusive")
    box_origin: Series[str] = column(
        "who made the box: the source, a point or a whole picture that it names, fitting to the pixels, the simulator",
        isin=BOX_ORIGINS,
    )
    ignore: Series[bool] = column("a region where cells are neither expected nor wrong")


class RawAnnotations(BoxedLabel):
    """Annotations as a source gives them, px of the original image.

    A point has x_min = x_max and y_min = y_max; an image-level label (`box_origin` image) spans the image.
    """

    row: Series[int] = column("line or object number in the label file, from 1")

    @dataframe_check(error="x_min_px <= x_max_px and y_min_px <= y_max_px")
    def not_inverted(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Boxes may be points here, but never inverted."""
        return (table["x_min_px"] <= table["x_max_px"]) & (table["y_min_px"] <= table["y_max_px"])


class InstanceMasks(Table):
    """Instance masks, COCO run-length encoded in px of the original image; one row per annotation."""

    annotation_id: Series[str] = column("annotation whose cell it is", unique=True)
    image_id: Series[str] = column("picture that it is of")
    height_px: Series[int] = column("of the picture, px")
    width_px: Series[int] = column("of the picture, px")
    rle_counts: Series[str] = column("COCO's compressed run lengths")


class SimulatedTruth(Table):
    """What only the simulator knows of a cell: one row per annotation of a generated field, px of the field.

    Cells whose pixels touch are one clump. Parts of one cell in several tiles share its `number`.
    """

    annotation_id: Series[str] = column("annotation of the same cell", unique=True)
    image_id: Series[str] = column("field that it lies in")
    label: Series[str] = column("class of the taxonomy", isin=list(PARENT))
    kind: Series[str] = column("family it was drawn from, finer than the label")
    number: Series[int] = column("the cell's own on its smear", ge=0)
    centre_x_px: Series[float] = column("middle, px")
    centre_y_px: Series[float] = column("middle, px")
    area_px2: Series[int] = column("visible pixels of the cell", gt=0)
    visible_share: Series[float] = column("of the cell, 0 to 1: the field's border may cut it", gt=0, le=1)
    overlap_share: Series[float] = column("of its pixels that another cell shares, 0 to 1", ge=0, le=1)
    clump: Series[int] = column("counts from 1 in each field", gt=0)
    clump_cells: Series[int] = column("cells of its clump", gt=0)
    slide: Series[str] = column("name of the slide")
    scanner: Series[str] = column("scanner, or fitted style, that the slide is seen through")
    seed: Series[int] = column("that the field was drawn with")
    px_per_um: Series[float] = column("scale, px per micrometre", gt=0)


class Rejects(Table):
    """What was not taken as found: `dropped`, `merged` into another row, `repaired`, or only `noted`."""

    source: Series[str] = column("name of the source, or of what was opened")
    path: Series[str] = column("file, relative to the source's folder")
    row: Series[pd.Int64Dtype] = column("line or object number in it, from 1; empty for whole files", nullable=True)
    kind: Series[str] = column("what it is", isin=REJECT_KINDS)
    action: Series[str] = column("what was done with it", isin=REJECT_ACTIONS)
    reason: Series[str] = column("why, in words")
