"""Tables of pictures on one canvas, and of the corpus that they make together."""

from __future__ import annotations

import pandas as pd
from pandera.pandas import dataframe_check
from pandera.typing import Series

from blood_kedro.library.core.schemas.sources import BOX_ORIGINS, BoxedLabel, ImageIndex
from blood_kedro.library.core.schemas.table import SPLITS, Table, column
from blood_kedro.library.core.taxonomy import PARENT


class CanvasAnnotations(Table):
    """Labels of standardized pictures as other programs read them: COCO's boxes, px of the canvas."""

    filename: Series[str] = column("picture in `images/`")
    x: Series[float] = column("left edge of the box, px")
    y: Series[float] = column("upper edge, px")
    w: Series[float] = column("width, px", gt=0)
    h: Series[float] = column("height, px", gt=0)
    class_id: Series[int] = column("number of the class, as in `classes.json`", ge=0)
    label: Series[str] = column("class of the taxonomy", isin=list(PARENT))
    label_raw: Series[str] = column("label in the source's own word")
    annotation_id: Series[str] = column("`<image_id>#<number>`", unique=True)
    image_id: Series[str] = column("picture that it is of")
    box_origin: Series[str] = column("who made the box", isin=BOX_ORIGINS)
    ignore: Series[bool] = column("a region where cells are neither expected nor wrong")


class Annotations(BoxedLabel):
    """Annotations with real boxes, px of the standardized canvas, half-open."""

    @dataframe_check(error="x_min_px < x_max_px and y_min_px < y_max_px")
    def not_empty(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Every box has an area."""
        return (table["x_min_px"] < table["x_max_px"]) & (table["y_min_px"] < table["y_max_px"])


class UnifiedIndex(ImageIndex):
    """The merged corpus: one row per image of it, after duplicates were merged (Algorithm 2)."""

    global_id: Series[int] = column("number of the image in COCO's files, from 1", unique=True, gt=0)
    file_name: Series[str] = column("picture in `unified/images/`", unique=True)
    duplicate_group: Series[str] = column("group that a split keeps whole")
    split: Series[str] = column("part", isin=SPLITS)


class ImageGroups(Table):
    """What every pipeline splits by: one row per standardized image of every enabled source.

    Images of one slide or patient, copies, and images that show the same field have one group. The part is drawn once
    for each group.
    """

    image_id: Series[str] = column("standardized picture", unique=True)
    source: Series[str] = column("name of the source")
    group_id: Series[str] = column("name of the first picture of the group")
    part: Series[str] = column("train, val or test", isin=SPLITS)
    copy_of: Series[str] = column(
        "picture that holds the labels of all with the same pixels; the copy itself is not in the corpus", nullable=True
    )

    @dataframe_check(error="a group has one part")
    def whole(cls, table: pd.DataFrame) -> bool:
        """No group stands in two parts."""
        return not table[["group_id", "part"]].drop_duplicates()["group_id"].duplicated().any()


class DuplicatePairs(Table):
    """Pairs of images that show the same field."""

    image_a: Series[str] = column("the first, by name")
    image_b: Series[str] = column("the second")
    kind: Series[str] = column("how they are alike", isin=["same_pixels", "near_hash", "turned_copy", "shifted_field"])
    similarity: Series[float] = column("of the two pictures where they overlap, 1 for the same")
    overlap_share: Series[float] = column("share of the field that both show, 0 to 1")


class Composition(Table):
    """Pictures and labelled cells of each source in the corpus, and in all (Sahay 2025, Table I)."""

    source: Series[str] = column("name of the source, or `total`", unique=True)
    images: Series[int] = column("pictures", ge=0)
    annotations: Series[int] = column("labelled cells", ge=0)


class ClassCounts(Table):
    """Labelled cells of each class and part in the corpus."""

    label: Series[str] = column("class of the taxonomy", unique=True, isin=list(PARENT))
    train: Series[int] = column("cells", ge=0)
    val: Series[int] = column("cells", ge=0)
    test: Series[int] = column("cells", ge=0)
    total: Series[int] = column("cells", ge=0)
