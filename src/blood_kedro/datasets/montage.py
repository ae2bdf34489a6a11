"""A few images of a folder in a grid, with their boxes: what kedro-viz shows of a folder of images."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.colours import LABELLED, UNLABELLED

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
_SIDE_PX, _GAP_PX, _COLUMNS = 300, 6, 3
_LABELLED_BGR, _IGNORED_BGR = LABELLED[::-1], UNLABELLED[::-1]
_Boxes = dict[str, list[tuple[float, float, float, float, bool]]]


def montage(folder: Path, images: int, boxes: Path | None) -> bytes:
    """PNG of images from all over a folder, evenly chosen; an empty picture where there is none."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    chosen = [files[k * len(files) // images] for k in range(min(images, len(files)))]
    known = _read(boxes) if boxes is not None and boxes.is_file() else {}
    step = _SIDE_PX + _GAP_PX
    rows = max(1, -(-len(chosen) // _COLUMNS))
    canvas = np.full((rows * step, _COLUMNS * step, 3), 255, np.uint8)
    for number, path in enumerate(chosen):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        small = _small(np.asarray(picture, np.uint8), known.get(path.name, []))
        top, left = (part * step for part in divmod(number, _COLUMNS))
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    encoded, data = cv2.imencode(".png", canvas)
    if not encoded:
        raise OSError(f"the preview of {folder} cannot be encoded")
    return bytes(data.tobytes())


def _small(
    picture: npt.NDArray[np.uint8], boxes: list[tuple[float, float, float, float, bool]]
) -> npt.NDArray[np.uint8]:
    scale = _SIDE_PX / max(picture.shape[:2])
    size = tuple(max(1, round(length * scale)) for length in picture.shape[1::-1])
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    for x, y, w, h, ignored in boxes:
        corners = [round(v * scale) for v in (x, y, x + w, y + h)]
        cv2.rectangle(small, corners[:2], corners[2:], _IGNORED_BGR if ignored else _LABELLED_BGR, 1)
    return np.asarray(small, np.uint8)


def _read(path: Path) -> _Boxes:
    """Boxes `x, y, w, h` and whether they are ignored, by file name."""
    boxes: _Boxes = defaultdict(list)
    if path.suffix == ".csv":
        for row in pd.read_csv(path).to_dict("records"):
            box = (float(row["x"]), float(row["y"]), float(row["w"]), float(row["h"]), bool(row["ignore"]))
            boxes[str(row["filename"])].append(box)
        return boxes
    coco = json.loads(path.read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    for row in coco["annotations"]:
        x, y, w, h = row["bbox"]
        boxes[names[row["image_id"]]].append((x, y, w, h, bool(row.get("iscrowd"))))
    return boxes
