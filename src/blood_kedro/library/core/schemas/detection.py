"""Tables of trainings, and of what a detector finds in a user's pictures."""

from __future__ import annotations

from typing import Any

from pandera.typing import Series

from blood_kedro.library.core.schemas.table import Table, column


class TrainingHistory(Table):
    """One row per epoch, or per some hundred steps, of a training. Which columns there are depends on what is trained.

    A table that holds several trainings says in `run` or `split` which one a row is of.
    """

    epoch: Series[int] | None = column("from 1", ge=1)
    step: Series[int] | None = column("batches so far", ge=1)
    lr: Series[float] = column("learning rate", ge=0)
    train: Series[float] | None = column(
        "mean loss over the epoch: the whole, and its parts by name", alias="^train_.+$", regex=True
    )
    val: Series[float] | None = column(
        "the same over the validation pictures; `val_map_50`: AP at IoU 0.5, where it was computed",
        alias="^val_.+$",
        regex=True,
        nullable=True,
    )
    middle: Series[float] | None = column("mean loss of the middles of cells since the row before")
    box: Series[float] | None = column("mean loss of their boxes since the row before")
    seconds: Series[float] | None = column("time of the epoch without validation, s", ge=0)
    images_per_second: Series[float] | None = column("pictures or crops learnt from per s", ge=0, nullable=True)
    cpu_s: Series[float] | None = column("processor time so far, s, all runs together", ge=0)
    run: Series[str] | None = column("run of a cross-validation: `<repeat>_<fold>`")
    split: Series[int] | None = column("number of the split, from 1", ge=1)


class DetectedCells(Table):
    """Cells that a detector found in pictures of a user, px of the picture."""

    image: Series[str] = column("name of the picture")
    cell: Series[int] = column("number in its picture, from 1", ge=1)
    label: Series[str] = column("class that the detector names")
    score: Series[float] = column("how sure it is, 0 to 1", ge=0, le=1)
    x_min_px: Series[float] = column("left edge of the box, px")
    y_min_px: Series[float] = column("upper edge, px")
    x_max_px: Series[float] = column("right edge, px, exclusive")
    y_max_px: Series[float] = column("lower edge, px, exclusive")
    type: Series[Any] | None = column(
        "type of a white cell or shape of a red one, `other` where unsure, `not named` where nothing was asked"
    )
    sureness: Series[float] | None = column("of the type, 0 to 1; empty where nothing was asked", nullable=True)


class DetectedCounts(Table):
    """Cells found in each picture of a user."""

    image: Series[str] = column("name of the picture", unique=True)
    width_px: Series[int] = column("width of the picture, px", gt=0)
    height_px: Series[int] = column("height of the picture, px", gt=0)
    rbc: Series[int] = column("red cells", ge=0)
    wbc: Series[int] = column("white cells", ge=0)
    platelet: Series[int] = column("platelets", ge=0)
    cell_px: Series[float] | None = column("width of a red cell that the picture was read at, px", nullable=True)
    scale_confidence: Series[float] | None = column("of that width, 0 to 1; 1 where it was given", ge=0, le=1)
