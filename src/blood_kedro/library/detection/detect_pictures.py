"""A trained detector on images that somebody brings, of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import COARSE, coarse
from blood_kedro.library.detection.options import OwnImages
from blood_kedro.library.imaging.large import image_files, names_of, opened, pixels_of

CELL_COLUMNS = ["image", "cell", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]


@dataclass(frozen=True)
class Seen:
    """Cells of one picture: `boxes (N, 4)` xyxy px of it, N labels and scores.

    `more` holds further columns of N values, the same ones for every picture; `facts` stand beside the counts.
    """

    boxes: npt.NDArray[np.float64]
    labels: list[str]
    scores: npt.NDArray[np.float64]
    more: dict[str, list[Any]] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectedPictures:
    """Cells of all images (`CELL_COLUMNS` and what is known besides), counts of each image, and the files.

    Boxes are in px of the image. `files` are what is read, which may be unpacked copies; `given` are names of the files
    that they are of.
    """

    cells: pd.DataFrame
    counts: pd.DataFrame
    files: dict[str, Path]
    given: dict[str, str]


def detect_images(
    bundle: ModelBundle, paths: Sequence[Path], options: OwnImages, work_folder: Path, rejects: RejectLog
) -> DetectedPictures:
    """Find the cells of images with a detector that was trained here; files that cannot be read go to rejects.

    Raises:
        SourceNotFoundError: there is no readable image.
    """
    from blood_kedro.library.detection.predict import load_detector
    from blood_kedro.library.detection.tiled import detect_image
    from blood_kedro.library.detection.transforms import preprocessing

    network, classes = load_detector(bundle), bundle.config["classes"]
    prepare = preprocessing(bundle.config["regimen"]["augmentation"])

    def look(pixels: npt.NDArray[np.uint8]) -> Seen:
        cells = detect_image(network, pixels, prepare, options.tile_px, options.tiled_above_px)
        sure = cells.scores >= options.least_score()
        return Seen(cells.boxes[sure], [classes[int(k) - 1] for k in cells.labels[sure]], cells.scores[sure])

    return look_at(look, paths, work_folder, rejects)


def look_at(
    look: Callable[[npt.NDArray[np.uint8]], Seen], paths: Sequence[Path], work_folder: Path, rejects: RejectLog
) -> DetectedPictures:
    """Find the cells of images; files that cannot be read go to rejects.

    Args:
        look: finds the cells of one picture `(H, W, 3) uint8`, which may be mapped; a picture of which it raises
            BadInputError is a reject.
        paths: images, or folders of them.
        work_folder: for large images, which are unpacked once.
        rejects: what could not be read.

    Raises:
        SourceNotFoundError: there is no readable image.
    """
    rows: list[list[object]] = []
    columns, counts = CELL_COLUMNS, []
    files: dict[str, Path] = {}
    file_names: dict[str, str] = {}
    listed = image_files(paths, rejects)
    for file, name in zip(listed, names_of(listed), strict=True):
        ready = opened(file, work_folder, rejects)
        if ready is None:
            continue
        pixels = pixels_of(ready.file)
        try:
            cells = look(pixels)
        except BadInputError as error:
            rejects.add(file, "image", "dropped", "; ".join(filter(None, [error.what, error.got])))
            continue
        columns = [*CELL_COLUMNS, *cells.more]
        for cell, (box, label, score, *extras) in enumerate(
            zip(cells.boxes.tolist(), cells.labels, cells.scores.tolist(), *cells.more.values(), strict=True), start=1
        ):
            rows.append([name, cell, label, score, *box, *extras])
        kinds = [coarse(label) for label in cells.labels]
        counts.append(
            {
                "image": name,
                "width_px": pixels.shape[1],
                "height_px": pixels.shape[0],
                **{kind: kinds.count(kind) for kind in COARSE},
                **cells.facts,
            }
        )
        files[name], file_names[name] = ready.file, file.name
    if not files:
        raise SourceNotFoundError(
            "no image to look at",
            where=", ".join(str(path.absolute()) for path in paths[:3]),
            got=rejects.reasons(),
            expected="an image, or a folder of images",
            remedy="correct detection.input",
        )
    return DetectedPictures(pd.DataFrame(rows, columns=columns), pd.DataFrame(counts), files, file_names)
