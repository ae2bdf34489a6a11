"""Tables of crops, one cell each, and of what classifiers of shapes say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandera.typing import Series

from blood_kedro.library.core.schemas.table import SPLITS, Table, column

MASK_ORIGINS = ("annotated", "simulated", "segmented", "sam")


class CropTable(Table):
    """Crops, one row per cell, in the order of their pixels."""

    cell_id: Series[str] = column("name of the cell", unique=True)
    source: Series[str] = column("name of the source")
    image_id: Series[str] = column("picture that it was cut from")
    group_id: Series[str] = column("what a split keeps whole: slide, or group of pictures that show one field")
    part: Series[str] = column(
        "part of its group in `image_groups`; empty in sets that are no source of pictures", nullable=True, isin=SPLITS
    )
    official_split: Series[str] | None = column(
        "part that the authors of the crops name, in sets that have one", nullable=True
    )
    tile_group: Series[str] = column(
        "shared by tiles of one slide that show the same place: what a split within a slide keeps whole; empty where a "
        "slide is not cut into tiles",
        nullable=True,
    )
    slide: Series[str] = column("name of the slide", nullable=True)
    scanner: Series[str] = column("scanner or microscope", nullable=True)
    label_raw: Series[str] = column("label in the source's own word")
    label: Series[str] = column("class of the taxonomy, where the source says it", nullable=True)
    shape: Series[str] = column("one of `elmanna_2024.NINE_SHAPES` or `other`, where the source says it", nullable=True)
    x_px: Series[float] = column("middle of the crop in its picture, px", nullable=True)
    y_px: Series[float] = column("middle of the crop in its picture, px", nullable=True)
    has_mask: Series[bool] = column("whether the cell's mask is known")
    mask_origin: Series[str] = column("who made the mask", nullable=True, isin=MASK_ORIGINS)


class CropCounts(Table):
    """Crops of each class and scanner (Elmanna et al. 2024, Fig. 3), the commonest class first."""

    class_: Series[str] = column("shape, else class of the taxonomy, else the source's own word", alias="class")
    scanner: Series[str] = column("scanner, or `no scanner named`")
    cells: Series[int] = column("crops", gt=0)


class RunPredictions(Table):
    """What each run of a cross-validation says of each of its test crops."""

    cell_id: Series[str] = column("name of the cell; once in each run")
    group_id: Series[str] = column("group that the split kept whole")
    slide: Series[str] = column("name of the slide", nullable=True)
    scanner: Series[str] = column("scanner", nullable=True)
    class_: Series[str] = column("true class", alias="class")
    run: Series[str] = column("run: `<repeat>_<fold>`")
    probabilities: Series[np.float32] = column(
        "probability of each class, 0 to 1", alias="^p_.+$", regex=True, ge=0, le=1.000001
    )


class SmearFindings(Table):
    """What the predicted shapes say of each slide (Elmanna et al. 2024, section 6.5). It is no diagnosis."""

    slide: Series[str] = column("name of the slide, or of its group", unique=True)
    cells: Series[int] = column("crops of it", gt=0)
    percents: Series[float] = column(
        "per cent of single cells of that shape", alias="^.+_percent$", regex=True, ge=0, le=100
    )
    overlap_ratio: Series[float] = column("overlapping groups per single cell", ge=0)
    finding: Series[str] = column("the same in words")


class VariantComparison(Table):
    """One row per classifier: measures, times, size, tests against a reference (Elmanna et al. 2024, Tables 5-7)."""

    variant: Series[str] = column("name of the classifier", unique=True)
    model: Series[str] = column("architecture")
    accuracy: Series[float] = column("mean over runs, 0 to 1")
    sensitivity: Series[float] = column("mean over classes and runs, 0 to 1", nullable=True)
    ppv: Series[float] = column("positive predictive value, likewise", nullable=True)
    f1: Series[float] = column("likewise", nullable=True)
    accuracy_low: Series[float] = column("95% interval over groups, lower end", nullable=True)
    accuracy_high: Series[float] = column("upper end", nullable=True)
    groups: Series[int] = column("groups of test crops", gt=0)
    runs: Series[int] = column("trainings", gt=0)
    test_cells: Series[int] = column("test crops of one run", gt=0)
    train_s: Series[float] = column("training time of a run, s", ge=0)
    test_s: Series[float] = column("time for its test crops, s", ge=0)
    parameters_m: Series[float] = column("parameters, millions", ge=0)
    size_mb: Series[float] = column("size on the disk, MB", ge=0)
    p_note: Series[Any] = column("why there is no p; else empty", nullable=True)
    p_values: Series[float] = column(
        "p of the measure against the reference: the paper's t-test; `_corrected`: Nadeau and Bengio's",
        alias="^p_(?!note$).+$",
        regex=True,
        ge=0,
        le=1,
        nullable=True,
    )
