"""The shipped cell detector on images that somebody brings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.limits import MOST_SCALE_OFF
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import NOT_NAMED
from blood_kedro.library.counting.count.smears import MOST_SHAPES
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.detection.detect_pictures import DetectedPictures, Seen, look_at
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.cell_detector import FoundCells
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.shipped.load import classifiers, load
from blood_kedro.library.shipped.scale import FoundScale, check_width

# So many tiles tell the scale of a folder.
MOST_TILES = 9


def find_cells(
    paths: Sequence[Path], cell_px: float | None, score: float | None, work_folder: Path, rejects: RejectLog
) -> DetectedPictures:
    """Cells of images, by the model that comes with the project.

    Counts have two columns more: `cell_px`, the width of a red cell that each image was read at, and
    `scale_confidence` in 0..1, which is 1 where the width was given. Cells have two more: `type`, that of a white cell
    or the shape of a red one, `other` where unsure, and `sureness` in 0..1, NaN where nothing was asked.

    Args:
        paths: images, or folders of them.
        cell_px: width of a red cell, px of the images; None finds it from each.
        score: cells that are less sure are left out; None takes the model's own thresholds.
        work_folder: for large images, which are unpacked once.
        rejects: what could not be read.

    Raises:
        SourceNotFoundError: there is no readable image, or none that the given width may be of.
    """
    cells, white, red = load("cells"), load("white_cells"), load("red_cell_shapes")

    def look(rgb: RgbImage) -> Seen:
        scale = cells.scale(rgb)
        if cell_px is not None:
            check_width(cell_px, scale, "")
            scale = FoundScale(cell_px, 1.0)
        detected = cells.predict(rgb, scale.cell_px, score)
        facts = {"cell_px": round(detected.cell_px, 1), "scale_confidence": scale.confidence}
        return Seen(detected.boxes, detected.labels, detected.scores, types_of(rgb, detected, white, red), facts)

    return look_at(look, paths, work_folder, rejects)


def types_of(rgb: RgbImage, cells: FoundCells, white: TypeClassifier, red: TypeClassifier) -> dict[str, list[Any]]:
    """`type` and `sureness` of found cells: of white cells, and shapes of red ones where there are not too many.

    A platelet is of no other type; red cells of a picture that shows more than `MOST_SHAPES` are `not named`.
    """
    labels = np.array(cells.labels, object)
    types, sureness = labels.copy(), np.full(len(labels), np.nan)
    for label, classifier, most in (("wbc", white, math.inf), ("rbc", red, MOST_SHAPES)):
        mine = labels == label
        if 0 < mine.sum() <= most:
            named = classifier.predict(rgb, cells.boxes[mine], cells.cell_px)
            types[mine], sureness[mine] = named["type"], named["sureness"]
        else:
            types[mine] = NOT_NAMED
    return {"type": types.tolist(), "sureness": sureness.round(3).tolist()}


class CountedTypes:
    """Types and shapes of counted cells (`NameTypes` of counting), by the models that come with the project.

    Args:
        models: folder of retrained ones to use instead, see `load.classifiers`.
    """

    def __init__(self, models: Path | None = None) -> None:
        named = classifiers(models)
        self.white, self.red = named.white_cells, named.red_cell_shapes

    def __call__(self, rgb: RgbImage, cells: pd.DataFrame, cell_px: float) -> pd.DataFrame:
        """`type` and `sureness` of cells of a tile."""
        boxes = cells[list(BOX_COLUMNS)].to_numpy(np.float64)
        detected = FoundCells(boxes, cells["label"].tolist(), np.ones(len(cells)), cell_px)
        return pd.DataFrame(types_of(rgb, detected, self.white, self.red))


def at_measured_scale(options: SmearInput, smears: Sequence[Smear]) -> SmearInput:
    """The settings of an input at the width of a red cell that its smears have, where `measure_scale` asks for it.

    Raises:
        BadInputError: see `measured_width`.
    """
    return options.model_copy(update={"cell_px": measured_width(smears)}) if options.measure_scale else options


def measured_width(smears: Sequence[Smear]) -> float:
    """Width of a red cell, px, by some tiles of smears of one magnification: the median of the answers.

    Raises:
        BadInputError: no tile shows a red cell, or the smears are of several magnifications.
    """
    scale = load("scale")
    places = [(smear, place) for smear in smears for place in smear.grid.places]
    chosen = places[:: max(1, len(places) // MOST_TILES)][:MOST_TILES]
    widths = [scale.predict(smear.read(place)).cell_px for smear, place in chosen]
    names = [smear.name for smear, _ in chosen]
    if np.isnan(widths).all():
        raise BadInputError(
            "no red cell is found to measure the scale by",
            where=smears[0].name,
            remedy="say how wide a red cell is: make count IMAGES=... CELL_PX=<px>",
        )
    low, high = int(np.nanargmin(widths)), int(np.nanargmax(widths))
    if widths[high] > MOST_SCALE_OFF * widths[low]:
        raise BadInputError(
            "these images seem to be of several magnifications, and are counted at one",
            where=names[high],
            got=f"red cells {widths[low]:.0f} px wide in {names[low]}, {widths[high]:.0f} px in {names[high]}",
            remedy="count them apart, or say how wide a red cell is: make count IMAGES=... CELL_PX=<px>",
        )
    return float(np.nanmedian(widths))
