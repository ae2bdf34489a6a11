"""A page to drop a smear in: `make app`, or `python -m blood_kedro.app`.

It uses the models of earlier runs in one environment (`make app ENV=laptop`, or `KEDRO_ENV`), and says where and on
what they were trained.

Needs the extra `app` (Gradio). It listens on this machine alone, sends nothing anywhere, and removes uploads and
results after an hour, or when it is stopped.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.environments import config_loader, name_of, results_root
from blood_kedro.library.core.errors import BadInputError, BloodKedroError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import CONFIG, ModelBundle, load_bundle
from blood_kedro.library.core.records import describe_model, place, read_record
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.detection.options import OwnImages
from blood_kedro.library.shipped.bundle import describe_shipped
from blood_kedro.plan.names import OWN, SHIPPED

logger = logging.getLogger(__name__)

COUNT, DETECT = "count the smear", "find and classify cells"
_SHOWN_COLUMNS = ["cell", "label", "type", "sureness", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]


@dataclass(frozen=True)
class Answer:
    """What the page shows.

    Attributes:
        overlay: the picture with its cells, `(H, W, 3) uint8`.
        counts: of the picture.
        cells: one row each.
        files: to download.
        used: which models were used; then what of the file was not used, and how its values were read.
    """

    overlay: npt.NDArray[np.uint8]
    counts: pd.DataFrame
    cells: pd.DataFrame
    files: list[str]
    used: list[str]


def parameters(root: Path) -> dict[str, Any]:
    """Merged parameters of the project, names written out; `KEDRO_ENV` names the environment."""
    return config_loader(root)["parameters"]


def models_folder(root: Path) -> Path:
    """Where the models of the environment are."""
    return results_root(root) / "06_models"


def detectors(root: Path, values: dict[str, Any]) -> list[str]:
    """The detector that comes with the project, then the regimens whose detector was trained in this environment."""
    folder = models_folder(root)
    return [SHIPPED, *(name for name in values["regimens"] if (folder / name / CONFIG).is_file())]


def models(root: Path, values: dict[str, Any]) -> list[str]:
    """The models that the page may use, and where and on what each was trained; or what is missing."""
    environment, folder = name_of(os.environ.get("KEDRO_ENV")), models_folder(root)
    names = [values["sam_counting"]["inputs"][OWN].get("classifier"), *detectors(root, values)]
    trained = [name for name in names if name and (folder / name / CONFIG).is_file()]
    said = [describe_model(name, read_record(place(folder / name, is_model=True))) for name in trained]
    others = said or [f"No other model has been trained in environment {environment} yet (looked in {folder})."]
    return [describe_shipped(), *others]


def look(
    root: Path,
    values: dict[str, Any],
    image: Path,
    task: str,
    *,
    detector: str | None,
    cell_px: float,
    score: float,
    kept: Path,
) -> Answer:
    """Count a smear, or detect its cells.

    Args:
        root: of the project; its trained models are used.
        values: parameters.
        image: file that was dropped in.
        task: `COUNT` or `DETECT`.
        detector: regimen, for `DETECT`.
        cell_px: how wide a red cell is in the image, px; 0 measures it where the shipped detector looks.
        score: least score of a detection.
        kept: folder that the files go to.

    Raises:
        BloodKedroError: the image cannot be read, or nothing was trained yet.
    """
    from blood_kedro.library.reporting.picture_pages import CELLS, COCO, OVERLAYS, overlay, write_own_report

    with tempfile.TemporaryDirectory(dir=kept) as folder:
        work, rejects = Path(folder), RejectLog("own")
        try:
            picture, cells, counts, used = (
                _counted(root, values, image, cell_px, work, rejects)
                if task == COUNT
                else _detected(root, image, detector, cell_px, score, work, rejects)
            )
        except BloodKedroError as error:
            if not rejects.rows:
                raise
            # Whoever is before the page does not see the rejects, which say why.
            raise BadInputError(
                error.what,
                where=image.name,
                got="; ".join(str(row["reason"]) for row in rejects.rows),
                remedy="save it once more as PNG, JPEG or TIFF, or take another picture",
            ) from error
        table = pd.DataFrame(rejects.rows, columns=["source", "path", "row", "kind", "action", "reason"])
        for line in used:
            logger.info("%s", line)
        report = write_own_report(work / "report", "Your smear", [picture], cells, counts, used, table)
        names = [CELLS, COCO, f"{OVERLAYS}/{picture.name}.jpg"]
        files = [str(shutil.copy(report / name, kept / f"{picture.name}_{Path(name).name}")) for name in names]
    shown = [column for column in counts.columns if not counts[column].isna().all()]
    return Answer(
        overlay(picture, cells),
        counts[shown].round(3).T.reset_index().set_axis(["", "value"], axis=1),
        cells[[name for name in _SHOWN_COLUMNS if name in cells]].round(2),
        files,
        [*used, *(f"{Path(str(row['path'])).name}: {row['reason']}" for row in rejects.rows)],
    )


def _counted(
    root: Path, values: dict[str, Any], image: Path, cell_px: float, work: Path, rejects: RejectLog
) -> tuple[Any, pd.DataFrame, pd.DataFrame, list[str]]:
    from blood_kedro.assembly.namers import models_used, parts_of
    from blood_kedro.library.counting.chain import count_pictures
    from blood_kedro.library.counting.draw.looks import ReducedLook, reduced
    from blood_kedro.library.counting.open.smear import open_smears
    from blood_kedro.library.counting.segment.tiles import folders_of
    from blood_kedro.library.reporting.picture_pages import MOST_PX, Picture
    from blood_kedro.library.shipped.detect_pictures import at_measured_scale

    own = {**values["sam_counting"]["inputs"][OWN], "path": str(image), "write_masks": False}
    if cell_px:
        own |= {"cell_px": cell_px, "measure_scale": False}
    options = SmearInput.model_validate(own)
    classifier = None if options.classifier is None else _model(root, options.classifier)
    smears = open_smears([image], options.tile_px, options.overlap_px, work, rejects)
    options, look = at_measured_scale(options, smears), ReducedLook(MOST_PX)
    made = count_pictures(smears, options, parts_of(options, classifier), work, rejects, [look])
    cells = made.cells.rename(columns={"smear": "image", "confidence": "score"})
    counts = made.counts.rename(columns={"smear": "image"})
    smear = smears[0]
    picture = Picture(smear.name, *reduced(smear, folders_of(made.segmented, work)[smear.name], look), smear.file)
    return picture, cells, counts, models_used(options, classifier)


def _detected(
    root: Path, image: Path, detector: str | None, cell_px: float, score: float, work: Path, rejects: RejectLog
) -> tuple[Any, pd.DataFrame, pd.DataFrame, list[str]]:
    from blood_kedro.library.detection.detect_pictures import detect_images
    from blood_kedro.library.imaging.large import pixels_of
    from blood_kedro.library.reporting.picture_pages import shown
    from blood_kedro.library.shipped.detect_pictures import find_cells

    if detector == SHIPPED:
        found, used = find_cells([image], cell_px or None, score, work, rejects), describe_shipped()
    else:
        bundle = _model(root, str(detector))
        found = detect_images(bundle, [image], OwnImages(score_threshold=score), work, rejects)
        used = describe_model(str(detector), bundle.record)
    ((name, file),) = found.files.items()
    return shown(name, pixels_of(file), found.given[name]), found.cells, found.counts, [used]


def _model(root: Path, name: str) -> ModelBundle:
    folder, environment = models_folder(root) / name, name_of(os.environ.get("KEDRO_ENV"))
    if not (folder / CONFIG).is_file():
        raise WeightsNotFoundError(
            f"there is no trained model yet in environment {environment}",
            where=str(folder),
            remedy=f"run `kedro run --env={environment}` first, or start the page with another ENV",
        )
    return load_bundle(folder)


def main() -> None:
    """Serve the page on this machine until it is stopped."""
    from blood_kedro.page import serve  # not before: it imports this module, which may be running as a program

    serve(Path.cwd())


if __name__ == "__main__":
    main()
