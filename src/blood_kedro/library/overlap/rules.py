"""Labelling functions: each says single, overlapping or nothing of a red cell, and each has a way to be wrong.

- `otsu_area` (Gurav et al. 2025): the foreground of the crop after Otsu's threshold covers more than T pixels. Wrong,
  because boxes are drawn tightly and each is about as full as another; pallor falls out of the foreground; a dark
  nucleus or platelet moves the threshold.
- `relative_area`: the component is larger than so many single cells of its image. Wrong on macrocytes among small
  cells, on groups of fragments, in images without single cells. What the border cuts may be larger, never smaller.
- `neighbour_iou`: the box overlaps another box. Wrong on cells that lie diagonally apart, and on neighbours that have
  no box.
- `concavity`: the outline has two notches deeper than this share of a cell, as between two cells that touch. Wrong on
  burr cells, stomatocytes and teardrops, which have notches of their own. Abstains on what the border cuts.
- `peaks`: the distance transform has several peaks. Wrong on long cells and on pale ones whose pallor splits them, and
  on a small cell on top of a large one, which has no peak of its own.
- `ellipse`: the component is unlike the ellipse of its moments. Wrong on angular and burr cells, and on two cells that
  overlap so far that both make an ellipse. Abstains on what the border cuts.

None of them sees a truth; thresholds are parameters (`RuleOptions`).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.overlap.options import Band, RuleOptions

SINGLE, OVERLAPPING, ABSTAIN = 0, 1, -1
RULES = ("otsu_area", "relative_area", "neighbour_iou", "concavity", "peaks", "ellipse")
# Cells of a component: 1, 2, 3, and 4 or more.
MOST_CELLS = 4
Votes = npt.NDArray[np.int8]


def votes(table: pd.DataFrame, options: RuleOptions, threshold_px2: float) -> pd.DataFrame:
    """What each rule says of each crop: 0 single, 1 overlapping, -1 nothing.

    Args:
        table: of schema `OverlapCrops`.
        options: thresholds.
        threshold_px2: T of `otsu_area`, as `area_threshold` gives it.
    """
    shape_known = ~table["at_border"].to_numpy(bool) & (table["component"].to_numpy() > 0)
    peaks = table["peaks"].to_numpy()
    return pd.DataFrame(
        {
            "otsu_area": _band(table["otsu_area"], Band(single=threshold_px2, overlapping=threshold_px2)),
            "relative_area": _relative_area(table, options.relative_area),
            "neighbour_iou": _band(table["neighbour_iou"], options.neighbour_iou),
            "concavity": _where(shape_known, _band(table["concavity"], options.concavity)),
            "peaks": _where(peaks > 0, np.where(peaks > 1, OVERLAPPING, SINGLE)),
            "ellipse": _where(shape_known, _band(table["ellipse_residual"], options.ellipse)),
        },
        index=table.index,
        dtype=np.int8,
    )


def area_threshold(table: pd.DataFrame, options: RuleOptions) -> float:
    """T of Gurav et al. 2025, who do not say how it was chosen: the option, or Otsu's threshold over training areas."""
    if options.otsu_area_px2 is not None:
        return options.otsu_area_px2
    areas = table.loc[table["part"] == "train", "otsu_area"].dropna().to_numpy()
    if len(areas) == 0 or areas.min() == areas.max():
        return float(areas.max()) if len(areas) else 0.0
    scaled = np.asarray(np.rint((areas - areas.min()) / (areas.max() - areas.min()) * 255), np.uint8)
    level, _ = cv2.threshold(scaled[None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(areas.min() + level / 255 * (areas.max() - areas.min()))


def count_votes(table: pd.DataFrame) -> pd.DataFrame:
    """How many cells the component holds, 1 to 4 (or more), by its peaks and by its area; -1 where unknown."""
    area = table["relative_area"].to_numpy(float)
    by_area = np.clip(np.rint(np.nan_to_num(area, nan=1.0)), 1, MOST_CELLS)
    known = ~np.isnan(area) & ~table["at_border"].to_numpy(bool)
    peaks = table["peaks"].to_numpy()
    return pd.DataFrame(
        {"relative_area": _where(known, by_area), "peaks": _where(peaks > 0, np.minimum(peaks, MOST_CELLS))},
        index=table.index,
        dtype=np.int8,
    )


def _relative_area(table: pd.DataFrame, band: Band) -> Votes:
    """A cut component may be larger than what is seen of it, never smaller."""
    said = _band(table["relative_area"], band)
    return np.asarray(np.where(table["at_border"].to_numpy(bool) & (said == SINGLE), ABSTAIN, said), np.int8)


def _band(values: pd.Series, band: Band) -> Votes:
    numbers = values.to_numpy(float)
    said = np.where(numbers > band.overlapping, OVERLAPPING, np.where(numbers <= band.single, SINGLE, ABSTAIN))
    return np.asarray(np.where(np.isnan(numbers), ABSTAIN, said), np.int8)


def _where(known: npt.NDArray[np.bool_], said: npt.NDArray[np.number]) -> Votes:
    return np.asarray(np.where(known, said, ABSTAIN), np.int8)
