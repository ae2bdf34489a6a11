"""Cutouts that a classifier learns from: the authors' own, or masks of a source's images named by its boxes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.tables import records
from blood_kedro.library.core.taxonomy import coarse
from blood_kedro.library.counting.name.cutout import cutout, framed
from blood_kedro.library.counting.name.stain import normalised, red_cell_densities, reference_density
from blood_kedro.library.counting.options import CutoutOptions
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.cells_among_masks import cells_among
from blood_kedro.library.counting.segment.prepared import prepared
from blood_kedro.library.counting.segment.segmenter import Segment
from blood_kedro.library.imaging.read import read_rgb

RgbImage = npt.NDArray[np.uint8]
# The authors' cutouts: a red cell is so wide in them (docs/facts/data.md#ojaghi-tiles).
PUBLISHED_CELL_PX = 36
_NAME = re.compile(r"^(?P<tile>(?P<smear>HS2_)?\d+_\d+)_\d+$")
_COVERED = 0.9


def published_cutouts(folder: Path, options: CutoutOptions, rejects: RejectLog) -> Iterator[Crop]:
    """The authors' own cutouts, `<part>/<RBC|WBC>/<tile>_<mask>.png`.

    Copies that they made by augmentation (`aug-*`) are left out: this project makes its own, on the training side.
    `slide` is the smear, `official_split` the authors' part, `group_id` the first of the tiles that overlap.

    Raises:
        SourceNotFoundError: there is none.
    """
    files = sorted(folder.glob("*/*/*.png"))
    scale = options.cutout_cell_px / PUBLISHED_CELL_PX
    count = 0
    for file in files:
        name, part, kind = file.stem, file.parts[-3], file.parts[-2].lower()
        tile = _NAME.match(name)
        if kind not in ("rbc", "wbc") or name.startswith("aug-"):
            continue
        if tile is None:
            rejects.add(file.relative_to(folder), "cell", "dropped", "name is not <tile>_<mask>")
            continue
        slide = "HS2" if tile["smear"] else "HS1"
        if options.slides and slide not in options.slides:
            continue
        try:
            rgb = read_rgb(file)
        except BadInputError as error:
            rejects.add(file.relative_to(folder), "cell", "dropped", error.what)
            continue
        count += 1
        group = _published_group(slide, *map(int, tile["tile"].split("_")[-2:]))
        yield Crop(
            framed(rgb, scale, options.side_px),
            None,
            {
                "cell_id": f"{options.name}/{part}/{name}",
                "source": options.source,
                "image_id": f"{options.source}/{tile['tile']}",
                "group_id": f"{options.source}/{group}",
                "slide": slide,
                "scanner": None,
                "official_split": part,
                "label_raw": file.parts[-2],
                "label": kind,
                "shape": None,
                "x_px": None,
                "y_px": None,
                "mask_origin": None,
            },
        )
    if not count:
        raise SourceNotFoundError(
            "no cutouts",
            where=str(folder.absolute()),
            expected="<train|val|test>/<RBC|WBC>/<tile>_<mask>.png",
            remedy="put compiled_dataset of the authors there, or disable this entry of sam_counting.cutouts",
        )


def _published_group(slide: str, column: int, row: int) -> str:
    """The first of the tiles that overlap: cutouts have no ground to find that from, but both smears are known.

    Column 11 of HS2 shows 353 px of column 10, column 9 of HS1 67 px of column 8, row 19 of HS1 18 px of row 18
    (docs/facts/data.md#ojaghi-tiles-overlapping-columns).
    """
    if slide == "HS2":
        return f"HS2_{min(column, 10)}_{row}"
    return f"{min(column, 8)}_{min(row, 18)}"


def segmented_cutouts(
    folder: Path,
    index: pd.DataFrame,
    annotations: pd.DataFrame,
    groups: Groups,
    options: CutoutOptions,
    segment: Segment,
    rejects: RejectLog,
) -> Iterator[Crop]:
    """Masks of the images of a source, cut out and named by its labelled boxes; masks that no box names are left out.

    How boxes name masks: `named`.

    Args:
        folder: of the images.
        index: image index of the source.
        annotations: its raw annotations.
        groups: of the images.
        options: how to segment and cut.
        segment: the segmenter that smears are counted with.
        rejects: gets images that cannot be read.
    """
    # Slivers at the edge are ignored elsewhere; here they are what a classifier must know, too.
    by_image = dict(tuple(annotations.assign(kind=annotations["label"].map(coarse)).groupby("image_id")))
    tasks = [(row, by_image[row["image_id"]]) for row in records(index) if row["image_id"] in by_image]
    work = _Image(folder, groups, options, segment)
    # As many from every image, so that no slide or scanner is missing.
    most = None if options.red_cells is None else -(-options.red_cells // max(len(tasks), 1))
    for cells, reason in in_processes(work, tasks, options.workers, ordered=True):
        if reason is not None:
            rejects.add(reason[0], "image", "dropped", reason[1])
        yield from _drawn(cells, most, options.seed)


def _drawn(cells: list[Crop], most: int | None, seed: int) -> list[Crop]:
    """At most so many of each kind, red cells that is: the other kinds are rare, and all of them are kept."""
    red = [k for k, cell in enumerate(cells) if cell.facts["label"] == "rbc"]
    if most is None or len(red) <= most:
        return cells
    rng = np.random.default_rng(seed_for(seed, "cutouts", str(cells[0].facts["image_id"])))
    gone = set(rng.permutation(red)[most:].tolist())
    return [cell for k, cell in enumerate(cells) if k not in gone]


@dataclass(frozen=True)
class _Image:
    folder: Path
    groups: Groups
    options: CutoutOptions
    segment: Segment

    def __call__(self, task: tuple[dict[str, Any], pd.DataFrame]) -> tuple[list[Crop], tuple[str, str] | None]:
        image, boxes = task
        try:
            rgb, _ = prepared(read_rgb(self.folder / image["path"]), self.options)
        except BadInputError as error:
            return [], (str(image["path"]), error.what)
        pieces, _ = cells_among(self.segment(Path(image["path"]).stem, rgb, RejectLog("")), rgb, self.options)
        scale = self.options.cutout_cell_px / self.options.cell_px
        if self.options.normalise:
            rgb = normalised(rgb, reference_density(red_cell_densities(rgb, pieces, self.options.cell_px)))
        cells, times = [], dict.fromkeys(boxes["annotation_id"], 0)
        for each in pieces:
            row = named(each, boxes)
            if row is None:
                continue
            name, annotation_id = str(image["image_id"]), str(row["annotation_id"])
            times[annotation_id] += 1
            x, y = each.centre_xy_px
            facts = {
                "cell_id": annotation_id if times[annotation_id] == 1 else f"{annotation_id}+{times[annotation_id]}",
                "source": image["source"],
                "image_id": name,
                **self.groups.facts(name),
                "slide": None,
                "scanner": None,
                "label_raw": str(row["label_raw"]),
                "label": str(row["kind"]),
                "shape": None,
                "x_px": x,
                "y_px": y,
                "mask_origin": None,
            }
            cells.append(Crop(cutout(rgb, each, scale, self.options.side_px), None, facts))
        return cells, None


def named(each: Piece, boxes: pd.DataFrame) -> dict[str, Any] | None:
    """The row of the box that says what a mask is; None if no box does.

    A segmenter leaves clumps whole and cuts some cells in two, and a classifier must know both. A mask is what the
    boxes are whose middle lies on it: a white cell if one of them is, then a red cell, then a platelet. If there is
    none, it is a part of the smallest box that nearly covers it. A point, or an image of one cell, only has a middle.
    """
    rows = [(row, [float(row[name]) for name in BOX_COLUMNS]) for row in records(boxes)]
    on_it = [row for row, box in rows if _holds(each, box)]
    if on_it:
        return min(on_it, key=lambda row: ("wbc", "rbc", "platelet").index(str(row["kind"])))
    exact = [(row, box) for row, box in rows if row["box_origin"] not in ("point", "image")]
    covering = [(row, box) for row, box in exact if _share_inside(each, box) >= _COVERED]
    if not covering:
        return None
    return min(covering, key=lambda pair: (pair[1][2] - pair[1][0]) * (pair[1][3] - pair[1][1]))[0]


def _share_inside(each: Piece, box: Sequence[float]) -> float:
    """Share of a mask's pixels that lie in a box."""
    part = each.clipped((round(box[0]), round(box[1]), round(box[2]), round(box[3])))
    return 0.0 if part is None else part.area_px2 / each.area_px2


def _holds(each: Piece, box: Sequence[float]) -> bool:
    """Whether the middle of a box lies on a mask."""
    column, row = int((box[0] + box[2]) / 2) - each.left, int((box[1] + box[3]) / 2) - each.top
    height, width = each.mask.shape
    return 0 <= row < height and 0 <= column < width and bool(each.mask[row, column])
