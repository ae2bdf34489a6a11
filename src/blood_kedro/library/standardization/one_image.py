"""One image of standardization: pixels to the canvas, boxes along with them. Runs in worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import write_bytes_atomically
from blood_kedro.library.core.hashing import fingerprint, seed_for
from blood_kedro.library.imaging.letterbox import Letterbox
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.imaging.threads import one_thread
from blood_kedro.library.standardization.measured import LabelBox, fitted_boxes, paper_boxes
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions

# Raise this whenever the pixels or boxes of a given input and options change: finished work is then redone.
STANDARDIZATION_VERSION = 3

# Lossless, at zlib's fastest level: a smear compresses hardly better at higher ones, for six times the time.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class ImageJob:
    """All that a worker needs to standardize one image."""

    image_id: str
    source_path: Path
    file_name: str
    sha256: str
    labels: tuple[LabelBox, ...]
    settings: SourceBoxes
    options: StandardizationOptions
    seed: int

    @property
    def key(self) -> str:
        """Names the input and everything that decides the output, not where files lie."""
        return fingerprint(
            [
                STANDARDIZATION_VERSION,
                self.sha256,
                self.file_name,
                [vars(label) for label in self.labels],
                self.settings.model_dump(),
                self.options.model_dump(exclude={"workers", "sources"}),
                self.seed,
            ]
        )


def run_job(job: ImageJob, images_folder: Path) -> dict[str, Any]:
    """Standardize one image.

    Returns:
        A JSON-like record: `key`, `image_id`, `file_name`, canvas `boxes` (rows of LabelBox fields), the
        letterbox, `bytes` of the file, a digest of all this (`line`), and `error` (None, or the reason why the image
        could not be read).
    """
    with one_thread():  # workers are the parallelism
        return _standardized(job, images_folder)


def _standardized(job: ImageJob, images_folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"key": job.key, "image_id": job.image_id, "file_name": job.file_name, "error": None}
    try:
        rgb = read_rgb(job.source_path)
    except Exception as error:
        reason = error.what if isinstance(error, BadInputError) else f"cannot be read: {type(error).__name__}: {error}"
        return record | {"error": reason, "boxes": []}
    height, width = rgb.shape[:2]
    letterbox = Letterbox(width, height, job.options.target_px)
    labels = list(job.labels)
    if job.options.boxes == "fitted":
        labels = fitted_boxes(labels, rgb, job.settings, job.image_id)
    else:
        rng = np.random.default_rng(seed_for(job.seed, "jitter", job.image_id))
        labels = paper_boxes(labels, job.settings, job.options.jitter_px / letterbox.scale, rng)
    canvas = letterbox.boxes(np.array([label.box_xyxy_px for label in labels], np.float64).reshape(-1, 4))
    encoded = cv2.imencode(".png", letterbox.image(rgb)[..., ::-1], _PNG)[1]
    write_bytes_atomically(images_folder / job.file_name, encoded.tobytes())
    boxes = [vars(label) | {"box_xyxy_px": box.tolist()} for label, box in zip(labels, canvas, strict=True)]
    standardized = record | {
        "boxes": boxes,
        "scale": letterbox.scale,
        "new_size_px": letterbox.new_size_px,
        "padding_px": letterbox.padding_px,
        "bytes": len(encoded),
    }
    return standardized | {"line": line_digest(standardized)}


def line_digest(record: dict[str, Any]) -> str:
    """Of a record as the journal keeps it, so that a line that was changed is not taken over."""
    return fingerprint({name: value for name, value in record.items() if name != "line"})
