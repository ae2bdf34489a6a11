"""240 red cells of BCCD whose overlap was judged by looking, as a truth to measure against; never trained on.

Drawn at random: 240 of the images with boxes, one box of a red cell in each (seed 2026). One reader saw each box with
0.35 of its size around it, without any rule's answer, and wrote `overlapping` 1 where the outline of the red cell in
the box meets or crosses the outline of another red or white cell with no light background between them; platelets,
debris and the border of the image do not count. `sure` is 0 for the 32 where focus or a thin gap left a doubt; they
are kept, with the answer that seemed likelier.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS, iou

# A box that a source or a localizer gives is the judged one if they are nearly the same.
_SAME_BOX_IOU = 0.7


def judged_boxes() -> pd.DataFrame:
    """One row per judged box: `image_id`, the box in px, `overlapping` and `sure`, 0 or 1."""
    with resources.files("blood_kedro.library.overlap").joinpath("bccd_by_eye.csv").open() as file:
        return pd.read_csv(file)


def true_cells(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """What was seen of each crop: 1 on its own, 2 for "overlaps another" (how many was not judged), NaN unknown.

    Args:
        table: with `image_id` and a box in px.
    """
    cells = np.full(len(table), np.nan)
    rows_of = table.groupby("image_id").indices
    for image, known in judged_boxes().groupby("image_id"):
        rows = rows_of.get(image, np.zeros(0, np.int64))
        same = iou(table.iloc[rows][BOX_COLUMNS].to_numpy(float), known[BOX_COLUMNS].to_numpy(float))
        for k, judged in enumerate(known["overlapping"]):
            if len(rows) and same[:, k].max() > _SAME_BOX_IOU:
                cells[rows[int(same[:, k].argmax())]] = 1.0 + judged
    return cells
