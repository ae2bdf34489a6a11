"""What the page of `make app` does with pictures: a read-out of them, or the cells that a trained detector finds.

The read-out is by the models that come with the project; detectors are those of earlier runs in one environment
(`make app ENV=laptop`, or `KEDRO_ENV`). Needs the extra `app` (Gradio). It listens on this machine alone, sends nothing
anywhere, and removes uploads and results after an hour, or when it is stopped; corrections are kept.
"""

from __future__ import annotations

import base64
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.answers import Again, Answer
from blood_kedro.environments import config_loader, name_of, results_root
from blood_kedro.library.core.errors import BadInputError, BloodKedroError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import CONFIG, ModelBundle, load_bundle
from blood_kedro.library.core.records import describe_model, place, read_record
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.detection.options import OwnImages
from blood_kedro.library.shipped.bundle import describe_shipped

if TYPE_CHECKING:
    from blood_kedro.library.reporting.viewer import OutlinedPicture
    from blood_kedro.page_lanes import Tell

logger = logging.getLogger(__name__)

READ_OUT = "read-out by the models that come with the project"


def parameters(root: Path) -> dict[str, Any]:
    """Merged parameters of the project, names written out; `KEDRO_ENV` names the environment."""
    return config_loader(root)["parameters"]


def models_folder(root: Path) -> Path:
    """Where the models of the environment are."""
    return results_root(root) / "06_models"


def detectors(root: Path) -> list[str]:
    """The regimens whose detector was trained in this environment; none where the folder is no project."""
    if not (root / "conf").is_dir():
        return []
    folder = models_folder(root)
    return [name for name in parameters(root)["regimens"] if (folder / name / CONFIG).is_file()]


def models(root: Path, trained: Sequence[str]) -> list[str]:
    """The models that the page may use, and where and on what each was trained."""
    folder = models_folder(root) if trained else Path()
    said = [describe_model(name, read_record(place(folder / name, is_model=True))) for name in trained]
    return [describe_shipped(), *said]


def look(
    root: Path, pictures: Sequence[Path], task: str, settings: dict[str, float], folder: Path, tell: Tell | None = None
) -> Answer:
    """Read out pictures, or find their cells with a trained detector.

    Args:
        root: of the project; its trained detectors are used.
        pictures: files that were dropped in.
        task: `READ_OUT`, or a regimen.
        settings: of `ReadOutOptions`, those that were given; `score` of a detector.
        folder: that the files go to.
        tell: told how far it is.

    Raises:
        BloodKedroError: no picture can be read, or a scale was given that is not that of the pictures.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work:
        try:
            if task == READ_OUT:
                return _read(pictures, settings, folder, Path(work), tell)
            return _detected(root, pictures, task, settings, folder, Path(work))
        except BloodKedroError as error:
            # Files are named as their owner has named them, wherever the page has put them.
            hidden = {str(picture): picture.name for picture in pictures}
            got = error.got
            for path, name in hidden.items():
                got = got.replace(path, name)
            where = ", ".join(hidden.values())
            raise BadInputError(
                error.what, where=where, got=got, expected=error.expected, remedy=error.remedy
            ) from error


def _read(pictures: Sequence[Path], settings: dict[str, float], folder: Path, work: Path, tell: Tell | None) -> Answer:
    from blood_kedro.assembly.own_corrections import LookedAt
    from blood_kedro.assembly.read_out import ReadOutOptions, read_pictures
    from blood_kedro.assembly.read_smears import types_of_kinds
    from blood_kedro.library.imaging.large import image_files, names_of
    from blood_kedro.library.reporting.read_out_page import Html
    from blood_kedro.library.reporting.viewer import viewer_data

    given = {name: value for name, value in settings.items() if name != "score"}
    # A lane may start no processes: its one process takes all cores for the networks.
    options = ReadOutOptions.model_validate({**given, "workers": 1})
    read = read_pictures(pictures, options, work, None if tell is None else partial(_tell, tell))
    report = folder / "read_out"
    read.write(report, whole=True)
    notes = [*read.read_out.notes_of_these(), *read.notes]
    html = Html(read.read_out.model_dump(mode="json"), read.rejects, notes, whole=True)
    files = image_files(pictures, RejectLog("own"))
    by_name = dict(zip(names_of(files), files, strict=True))  # two uploads may have the same name
    shown = [read.picture(name) for name in read.smears]
    tiles = options.tile_px, options.overlap_px
    looked_at = [
        LookedAt(name, by_name[name], read.cells[read.cells["smear"] == name], read.scales[name].cell_px, *tiles)
        for name in read.smears
    ]
    data = viewer_data([_embedded(each) for each in shown], types_of_kinds(), "save corrections")
    return Answer(
        html.first(),
        data,
        html.parts(),
        _files(report, folder),
        [describe_shipped(), *_rejected(read.rejects)],
        looked_at,
        read.read_out.made_with.models,
        Again(read.counted_again, report, read.rejects, read.notes),
    )


def _tell(tell: Tell, name: str, picture: tuple[int, int], tile: tuple[int, int]) -> None:
    """Tell what `assembly.read_out.Progress` is told as a share and a sentence."""
    share = tile[0] / tile[1]
    what = "looking for cells" if share < 1 else "naming cells"
    if not share:
        what = "measuring the width of its red cells"
    tell((picture[0] + share) / picture[1], f"{name}, {what}")


def _detected(
    root: Path, pictures: Sequence[Path], regimen: str, settings: dict[str, float], folder: Path, work: Path
) -> Answer:
    from blood_kedro.assembly.read_smears import ranks_of
    from blood_kedro.library.detection.detect_pictures import detect_images
    from blood_kedro.library.imaging.large import pixels_of
    from blood_kedro.library.reporting.picture_pages import shown, write_own_report
    from blood_kedro.library.reporting.viewer import OutlinedPicture, viewer_data
    from blood_kedro.library.reporting.words import in_words

    rejects, bundle = RejectLog("own"), _model(root, regimen)
    detected = detect_images(bundle, pictures, OwnImages(score_threshold=settings.get("score", 0.5)), work, rejects)
    used, table = [describe_model(regimen, bundle.record)], pd.DataFrame(rejects.rows, columns=["path", "reason"])
    report = folder / "detection"
    images = [shown(name, pixels_of(file), detected.given[name]) for name, file in detected.files.items()]
    write_own_report(report, "Cells detected", images, detected.cells, detected.counts, used, table)
    cells = detected.cells.assign(
        type=detected.cells["label"], label=detected.cells["label"].map(coarse), sureness=detected.cells["score"]
    )
    by_name = {image.name: cells[cells["image"] == image.name] for image in images}
    outlined = [
        OutlinedPicture(image, by_name[image.name], [], ranks_of(by_name[image.name]), None, None) for image in images
    ]
    first = "".join(
        f"<p><b>{escape(str(row['image']))}</b>: {in_words(row)}</p>" for row in detected.counts.to_dict("records")
    )
    data = viewer_data([_embedded(each) for each in outlined], {}, "")
    return Answer(first, data, "", _files(report, folder), [*used, *_rejected(table)], [], {})


def _embedded(each: OutlinedPicture) -> dict[str, Any]:
    """A picture as the viewer takes it, its pixels with it: nobody else can ask for them."""
    from blood_kedro.library.reporting.viewer import shown_picture

    close_ups = "" if each.close_ups is None else _as_url(each.close_ups.rgb, each.picture.name)
    return shown_picture(each, _as_url(each.picture.rgb, each.picture.name), close_ups)


def _as_url(rgb: npt.NDArray[np.uint8], name: str) -> str:
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise OSError(f"{name} cannot be encoded")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _files(report: Path, folder: Path) -> list[str]:
    """All of a report in one archive, and its tables apart."""
    archive = shutil.make_archive(str(folder / report.name), "zip", report)
    tables = [path for path in sorted(report.iterdir()) if path.suffix in {".csv", ".json"}]
    return [archive, *map(str, tables)]


def _rejected(rejects: pd.DataFrame) -> list[str]:
    return [f"{Path(str(row['path'])).name}: {row['reason']}" for row in rejects.to_dict("records")]


def _model(root: Path, name: str) -> ModelBundle:
    folder, environment = models_folder(root) / name, name_of(os.environ.get("KEDRO_ENV"))
    if not (folder / CONFIG).is_file():
        raise WeightsNotFoundError(
            f"there is no trained model yet in environment {environment}",
            where=str(folder),
            remedy=f"run `kedro run --env={environment}` first, or start the page with another ENV",
        )
    return load_bundle(folder)


if __name__ == "__main__":
    sys.exit("the app starts by: make app, or python -m blood_kedro.page")
