"""Tables of the models that come with the project."""

from __future__ import annotations

from pandera.typing import Series

from blood_kedro.library.core.schemas.table import SPLITS, Table, column


class CellScores(Table):
    """How well a cell detector finds and counts cells of a laboratory's pictures."""

    training: Series[str] = column("name of the training")
    laboratory: Series[str] = column("set of pictures of one laboratory")
    unseen: Series[bool] = column("whether the detector learnt from no picture of it")
    scale: Series[str] = column("width that pictures were read at: known, or found", isin=["laboratory", "none"])
    class_: Series[str] = column("cell type", alias="class")
    pictures: Series[int] = column("pictures", ge=0)
    groups: Series[int] = column("groups of pictures: what the intervals are over", ge=0)
    cells: Series[int] = column("labelled cells", ge=0)
    ap_50: Series[float] = column("average precision at IoU 0.5, 0 to 1", nullable=True)
    ap_50_low: Series[float] = column("95% interval, lower end", nullable=True)
    ap_50_high: Series[float] = column("upper end", nullable=True)
    counted: Series[int] = column("cells found", ge=0)
    count_error: Series[float] = column("mean absolute error of a picture's count over the mean count", nullable=True)
    count_error_low: Series[float] = column("95% interval, lower end", nullable=True)
    count_error_high: Series[float] = column("upper end", nullable=True)
    exact: Series[float] = column("share of pictures counted without an error, 0 to 1", ge=0, le=1, nullable=True)
    whole: Series[float] = column(
        "share of cells in whose inner half lies exactly one detection, of the right type; not of platelets",
        ge=0,
        le=1,
        nullable=True,
    )


class ScaleScores(Table):
    """How near the width of a red cell that is found in pictures is to the true one."""

    training: Series[str] = column("name of the training")
    laboratory: Series[str] = column("set of pictures of one laboratory")
    unseen: Series[bool] = column("whether the detector learnt from no picture of it")
    pictures: Series[int] = column("pictures", ge=0)
    groups: Series[int] = column("groups of pictures", ge=0)
    answered: Series[int] = column("pictures in which a width was found", ge=0)
    within_10: Series[float] = column("share of all pictures found within 10%, 0 to 1", ge=0, le=1)
    within_20: Series[float] = column("within 20%", ge=0, le=1)
    median: Series[float] = column("of found over true width", nullable=True)


class TypeAnswers(Table):
    """What a classifier of types or shapes says of cells that it did not learn from."""

    cell_id: Series[str] = column("name of the cell", unique=True)
    image_id: Series[str] = column("picture that it is of")
    group_id: Series[str] = column("group that the split kept whole")
    type: Series[str] = column("true type")
    x_px: Series[float] = column("middle of the cell, px of the picture")
    y_px: Series[float] = column("middle of the cell, px of the picture")
    part: Series[str] = column("val: calibrated on; test: judged by", isin=SPLITS[1:])
    answer: Series[str] = column("type that the classifier names")
    sureness: Series[float] = column("its probability, 0 to 1", ge=0, le=1.000001)
