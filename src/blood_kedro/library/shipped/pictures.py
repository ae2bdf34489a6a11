"""Labelled pictures of every laboratory, brought to one width of a red cell.

Each source is taken as its labels allow: TXL-PBC has boxes of nearly every cell; Chula has points, from which boxes are
measured; the tiles of Ojaghi et al. have masks. What a source does not label is known per class (`known`), and cells
that show without a label are regions that count for nothing (`ignore`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import Boxes, area
from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.read import RgbImage, read_rgb
from blood_kedro.library.merging.duplicates import duplicate_groups, find_duplicates
from blood_kedro.library.merging.options import DuplicateOptions
from blood_kedro.library.merging.thumbnails import Thumbnail, make_thumbnails
from blood_kedro.library.merging.turned import turned_copies
from blood_kedro.library.shipped.cell_options import PictureOptions
from blood_kedro.library.shipped.picture_sources import (
    OWN,
    FoundPicture,
    bccd_pictures,
    chula_pictures,
    ojaghi_pictures,
    size_of,
    txl_pictures,
)

# A box that comes nearer to the border of its picture than this may be a cell that is cut.
EDGE_PX = 2
# In larger sets, only overlaps of about a fifth of the frame and more are found.
_DUPLICATES = DuplicateOptions(exhaustive_limit=250)
_PAIR = ["image_a", "image_b"]


@dataclass(frozen=True)
class LabelledPicture:
    """A picture at the networks' scale with its cells.

    `boxes (N, 4)` and `ignore (K, 4)` are xyxy px of `pixels (H, W, 3) uint8`; `labels (N,)` number `CLASSES` from 0;
    `known` says which classes are labelled wherever they show; `zoom` is px of `pixels` per px of the file. Pictures
    that are not `judged` are only learnt from; those of `official_test` are never learnt from.
    """

    image_id: str
    laboratory: str
    group_id: str
    pixels: RgbImage
    boxes: Boxes
    labels: npt.NDArray[np.int64]
    ignore: Boxes
    known: tuple[bool, bool, bool]
    zoom: float
    judged: bool
    official_test: bool


def gather(raw_root: Path, options: PictureOptions, rejects: RejectLog) -> list[LabelledPicture]:
    """Every labelled picture of the sources under `raw_root`, in a fixed order.

    Raises:
        SourceNotFoundError: none of them is there.
    """
    readers = {"txl_pbc": txl_pictures, "bccd": bccd_pictures, "chula": chula_pictures, "ojaghi": ojaghi_pictures}
    pictures = [
        each
        for name, read in readers.items()
        if (raw_root / name).is_dir()
        for each in read(raw_root / name, options, rejects)
    ]
    if not pictures:
        raise SourceNotFoundError(
            "no labelled pictures to train the shipped models on",
            where=str(raw_root),
            expected="txl_pbc/, chula/, ojaghi/ or bccd/",
            remedy="make data, or set RAW to the folder of the sets",
        )
    sizes = [size_of(each.path) for each in pictures]
    groups, tested = _groups(pictures, sizes)
    zooms = {key: options.cell_px / width for key, width in _widths(pictures, sizes).items()}
    return [
        _scaled(each, raw_root, group, zooms[each.scale_of], official_test=test)
        for each, group, test in zip(pictures, groups, tested, strict=True)
        if each.scale_of in zooms
    ]


def _widths(pictures: list[FoundPicture], sizes: list[tuple[int, int]]) -> dict[str, float]:
    """Median width of a whole red cell of each magnification, px: square root of the box's area."""
    widths: dict[str, list[float]] = {}
    for each, (width, height) in zip(pictures, sizes, strict=True):
        if each.source == "bccd":  # its pictures are those of TXL-PBC, whose boxes are complete
            continue
        low, high = each.boxes[:, :2].min(axis=1), each.boxes[:, 2:].max(axis=1)
        inside = (low > EDGE_PX) & (each.boxes[:, 2] < width - EDGE_PX) & (each.boxes[:, 3] < height - EDGE_PX)
        whole = each.boxes[inside & (high > 0) & (each.labels == 0)]
        widths.setdefault(each.scale_of, []).extend(np.sqrt(area(whole)))
    return {key: float(np.median(values)) for key, values in widths.items() if values}


def _groups(pictures: list[FoundPicture], sizes: list[tuple[int, int]]) -> tuple[list[str], list[bool]]:
    """Group of each picture, and whether its group holds a picture of BCCD's official test list.

    Shifted fields are searched for among pictures of one magnification, turned copies in all of a laboratory.
    """
    thumbnails = make_thumbnails([each.path for each in pictures], sizes)
    ids = [f"{each.source}/{each.path.stem}" for each in pictures]
    pairs = [_pairs(ids, thumbnails, mine) for mine in _alike([each.scale_of for each in pictures])]
    for mine in _alike([each.laboratory.removesuffix(OWN) for each in pictures]):
        copies = turned_copies([thumbnails[k] for k in mine], _DUPLICATES.turned_similarity)
        pairs.append(pd.DataFrame([(ids[mine[i]], ids[mine[j]]) for i, j, _ in copies], columns=_PAIR))
    groups = duplicate_groups(ids, pd.concat(pairs, ignore_index=True), [_smear(each) for each in pictures])
    tested = {group for group, each in zip(groups, pictures, strict=True) if each.official_test}
    return groups, [group in tested for group in groups]


def _alike(names: list[str]) -> list[list[int]]:
    """Places of equal names."""
    return [[k for k, name in enumerate(names) if name == each] for each in sorted(set(names))]


def _pairs(ids: list[str], thumbnails: list[Thumbnail], mine: list[int]) -> pd.DataFrame:
    chosen = [ids[k] for k in mine]
    duplicates = find_duplicates(chosen, ["one"] * len(mine), [thumbnails[k] for k in mine], _DUPLICATES)
    return duplicates[_PAIR]


def _smear(picture: FoundPicture) -> str | None:
    if picture.source != "ojaghi":
        return None
    return "ojaghi/HS2" if picture.path.stem.startswith("HS2") else "ojaghi/HS1"


def _scaled(picture: FoundPicture, root: Path, group: str, zoom: float, *, official_test: bool) -> LabelledPicture:
    rgb = read_rgb(picture.path)
    size = (max(1, round(rgb.shape[1] * zoom)), max(1, round(rgb.shape[0] * zoom)))
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    factor = np.array([size[0] / rgb.shape[1], size[1] / rgb.shape[0]] * 2)
    return LabelledPicture(
        image_id=picture.path.relative_to(root).with_suffix("").as_posix(),
        laboratory=picture.laboratory,
        group_id=group,
        pixels=np.asarray(cv2.resize(rgb, size, interpolation=how), np.uint8),
        boxes=picture.boxes * factor,
        labels=picture.labels,
        ignore=picture.ignore * factor,
        known=picture.known,
        zoom=zoom,
        judged=picture.judged,
        official_test=official_test,
    )


def learnt_from(pictures: list[LabelledPicture], left_out: frozenset[str]) -> list[LabelledPicture]:
    """Pictures to train on where laboratories are left out: none of theirs, none of BCCD's official test."""
    return [
        each
        for each in pictures
        if not each.laboratory.endswith(OWN) and each.laboratory not in left_out and not each.official_test
    ]


def fingerprint_of(pictures: list[LabelledPicture]) -> str:
    """Of the pictures and their labels."""
    return fingerprint(
        [[p.image_id, p.group_id, p.pixels.shape, p.boxes.round(2).tolist(), p.labels.tolist()] for p in pictures]
    )
