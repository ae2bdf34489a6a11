"""The published cells of Elmanna et al. 2024 (Elsafty et al., Scientific Data 11, 2024).

Crops lie in one folder per shape, in parallel trees for images, masks and segmented images; sets for segmentation lie
in one folder per slide, with images and masks and without shapes. Spelling and numbering of the folders differ between
versions, so a folder is known by the words in its name. A file name starts with the numbers of slide and patch, then
the x, y, width and height of the cell in its patch, px.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.elmanna_2024 import SCANNER_OF_SLIDE, SHAPE_TO_LABEL
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.read import SUFFIXES, is_litter, read_rgb

HOW_TO_GET = (
    "download the sets for classification and for segmentation of Elsafty_RBCs_for_AI (figshare) and unpack them into "
    "raw_root's elsafty/"
)

# The first that is found in the name of a folder decides: `borderline ovalocytes` are no `ovalocytes`.
_SHAPE_WORDS = (
    ("borderline", "borderline_ovalocyte"),
    ("ovalocyte", "ovalocyte"),
    ("teardrop", "teardrop"),
    ("burr", "burr_cell"),
    ("fragment", "fragmented_rbc"),
    ("angled", "angled_rbc"),
    ("three", "three_overlapping_cells"),
    ("3 overlap", "three_overlapping_cells"),
    ("two", "two_overlapping_cells"),
    ("2 overlap", "two_overlapping_cells"),
    ("round", "rounded_rbc"),
    ("normal", "rounded_rbc"),
    ("other", "other"),
)
_NUMBERS = 6  # slide, patch, x, y, width, height


@dataclass(frozen=True)
class _File:
    """One file: what it shows (`image`, `mask`, `segmented`), of which shape, and the numbers of its name."""

    path: Path
    kind: str
    shape: str | None
    numbers: tuple[int, ...]


def pairs(folder: Path, rejects: RejectLog) -> list[tuple[Path, Path | None, str | None, tuple[int, ...]]]:
    """Every crop with its mask (or None), shape (None in sets for segmentation) and numbers, in order of numbers.

    Raises:
        SourceNotFoundError: there is no crop.
    """
    images: dict[tuple[str | None, tuple[int, ...]], Path] = {}
    masks: dict[tuple[str | None, tuple[int, ...]], Path] = {}
    for file in _files(folder, rejects):
        if file.kind == "segmented":
            continue  # the product of the other two
        table, key = masks if file.kind == "mask" else images, (file.shape, file.numbers)
        if key in table:
            rejects.add(file.path.relative_to(folder), "cell", "dropped", f"the same cell as {table[key].name}")
        else:
            table[key] = file.path
    if not images:
        raise SourceNotFoundError("source elsafty holds no crop", where=str(folder), remedy=HOW_TO_GET)
    for key in masks.keys() - images.keys():
        rejects.add(masks[key].relative_to(folder), "cell", "dropped", "mask without image")
    order = sorted(images, key=lambda key: (key[1], key[0] or ""))
    return [(images[key], masks.get(key), *key) for key in order]


def _files(folder: Path, rejects: RejectLog) -> Iterator[_File]:
    for path in sorted(folder.rglob("*")):
        shown = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or is_litter(shown):
            continue
        words = [re.sub(r"[\W_]+", " ", part).lower() for part in shown.parent.parts]
        shape = next((shape_of(word) for word in reversed(words) if shape_of(word)), None)
        for_segmentation = any("segmentation" in word or "slide" in word for word in words)
        if shape is None and not for_segmentation:
            rejects.add(shown, "cell", "dropped", f"unknown folder {shown.parent.as_posix()!r}")
            continue
        numbers = tuple(int(n) for n in re.findall(r"\d+", path.stem))[:_NUMBERS]
        if len(numbers) < _NUMBERS:
            rejects.add(shown, "cell", "dropped", "file name without slide, patch, x, y, width and height")
        elif numbers[0] not in SCANNER_OF_SLIDE:
            rejects.add(shown, "cell", "dropped", f"slide {numbers[0]}, expected 1 to {len(SCANNER_OF_SLIDE)}")
        else:
            yield _File(path, _kind(words), shape, numbers)


def shape_of(folder_name: str) -> str | None:
    """The shape that the words of a folder's name say, or None."""
    return next((shape for word, shape in _SHAPE_WORDS if word in folder_name), None)


def _kind(words: list[str]) -> str:
    if any(re.search(r"\bmasks?\b", word) for word in words):
        return "mask"
    return "segmented" if any(re.search(r"\bsegmented\b", word) for word in words) else "image"


def read_cell(image: Path, mask: Path | None, shape: str | None, numbers: tuple[int, ...], side_px: int) -> Crop:
    """One crop with its mask.

    Raises:
        BadInputError: a file cannot be read, crop or mask has another size, or the mask is empty.
    """
    rgb = read_rgb(image)
    if rgb.shape != (side_px, side_px, 3):
        raise BadInputError(f"crop of {rgb.shape[1]}x{rgb.shape[0]} px, expected {side_px}x{side_px}")
    known = None
    if mask is not None:
        known = np.asarray(read_rgb(mask)[..., 0] > 127, np.bool_)
        if known.shape != (side_px, side_px):
            raise BadInputError(f"mask of {known.shape[1]}x{known.shape[0]} px, expected {side_px}x{side_px}")
        if not known.any():
            raise BadInputError("empty mask")
    slide, patch, x, y, width, height = numbers
    name = f"elsafty/slide_{slide:03d}"
    where = "segmentation" if shape is None else shape
    facts: dict[str, object] = {
        "cell_id": f"{name}/{patch}_{x}_{y}_{width}_{height}/{where}",
        "source": "elsafty",
        "image_id": f"{name}/{patch}",
        "group_id": name,
        "slide": f"slide_{slide:03d}",
        "scanner": SCANNER_OF_SLIDE[slide],
        "label_raw": image.parent.name,
        "label": "rbc" if shape is None else SHAPE_TO_LABEL.get(shape, "rbc"),
        "shape": shape,
        "x_px": x + width / 2,
        "y_px": y + height / 2,
        "mask_origin": None if known is None else "annotated",
    }
    return Crop(rgb, known, facts)
