"""From what somebody corrected of a read-out, in the app or on its page, to corrections that are kept with pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.journal import Correction, corrections_of
from blood_kedro.library.corrections.store import Corrections
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.counting.open.tiles import Place
from blood_kedro.library.imaging.large import is_held_whole
from blood_kedro.library.reporting.picture_pages import CELLS
from blood_kedro.library.reporting.read_out_page import FIGURES

NOBODY = "nobody named"


@dataclass(frozen=True)
class LookedAt:
    """A picture of a read-out, and what was read of it.

    Attributes:
        name: of the smear.
        file: of the picture or slide; the folder of a grid of tiles.
        cells: one row each, in px of the smear; `tile` is the one that a cell lies in.
        cell_px: width of a red cell, px of the smear.
        tile_px, overlap_px: how the smear was cut into tiles.
    """

    name: str
    file: Path
    cells: pd.DataFrame
    cell_px: float
    tile_px: int
    overlap_px: int


def keep_corrections(
    folder: Path, pictures: Sequence[LookedAt], rows: Sequence[Mapping[str, Any]], by: str, models: Mapping[str, str]
) -> str:
    """Keep what somebody corrected, with its pictures; a sentence on what was kept, and where.

    Of a slide, of a grid of tiles and of a picture that is too large to be held, the tiles are kept in which corrected
    cells lie, each as a field of its own.

    Args:
        folder: of corrections (`library.corrections.store`).
        pictures: of the read-out.
        rows: of the viewer: `picture`, `cell`, and `after` with a `type`, or None for what is no cell.
        by: who corrected.
        models: digests of the models that had named the cells, by their names.

    Raises:
        BadInputError: a row is of no cell of these pictures, or a picture is not the one that was read out.
    """
    strangers = sorted({str(row["picture"]) for row in rows} - {picture.name for picture in pictures})
    if strangers:
        raise BadInputError(
            "corrections are of pictures that are not of this read-out",
            got=", ".join(strangers[:3]),
            expected=", ".join(picture.name for picture in pictures[:3]),
            remedy="name the folder of the read-out on whose page they were saved",
        )
    store, number = Corrections(folder), 0
    said = ", ".join(f"{name} {digest[:12]}" for name, digest in models.items())
    for picture in pictures:
        mine = [row for row in rows if row["picture"] == picture.name]
        changed = {int(row["cell"]): None if row["after"] is None else str(row["after"]["type"]) for row in mine}
        for field, corrections in _with_fields(store, picture, changed):
            store.save(field, corrections, by=by or NOBODY, models=said)
        number += len(changed)
    noun = "correction" if number == 1 else "corrections"
    return f"{number} {noun} saved in {folder}; learn from them: blood-kedro retrain {folder}"


def _with_fields(
    store: Corrections, picture: LookedAt, changed: Mapping[int, str | None]
) -> Iterator[tuple[str, list[Correction]]]:
    """Name of each picture or field that is kept for these cells, and the corrections of it."""
    if not changed:
        return
    corrections = corrections_of(picture.cells, picture.cell_px, changed=changed)
    if picture.file.is_file() and is_held_whole(picture.file):
        yield store.add_picture(picture.file), corrections
        return
    tiles = dict(zip(picture.cells["cell"].tolist(), picture.cells["tile"].astype(str).tolist(), strict=True))
    with TemporaryDirectory() as work:
        smear = _opened_again(picture, Path(work))
        places = {place.name: place for place in smear.grid.places}
        for tile in dict.fromkeys(tiles[cell] for cell in changed):
            if tile not in places:
                raise _another_picture(picture, f"there is no tile {tile}")
            here = {cell: after for cell, after in changed.items() if tiles[cell] == tile}
            seen = cells_in_view(picture.cells, places[tile])
            field = store.add_field(smear.read(places[tile]), f"{picture.name}, field {tile}", smear=picture.name)
            yield field, corrections_of(seen, picture.cell_px, changed=here)


def cells_in_view(cells: pd.DataFrame, place: Place) -> pd.DataFrame:
    """The cells that a tile shows, those of its neighbours among them, with their boxes cut to it, in px of the tile.

    Args:
        cells: with boxes in px of the smear.
        place: of the tile.
    """
    boxes = cells[BOX_COLUMNS].to_numpy(np.float64) - [place.left, place.top] * 2
    boxes = np.clip(boxes, 0, [place.width, place.height] * 2)
    moved: pd.DataFrame = cells.assign(**dict(zip(BOX_COLUMNS, boxes.T, strict=True)))
    in_view: pd.DataFrame = moved[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    return in_view


def _opened_again(picture: LookedAt, work_folder: Path) -> Smear:
    smears = open_smears([picture.file], picture.tile_px, picture.overlap_px, work_folder, RejectLog("corrections"))
    for smear in smears:
        if picture.file.is_file() or smear.name == picture.name:
            return smear
    raise _another_picture(picture, f"it holds {', '.join(smear.name for smear in smears[:3])}")


def _another_picture(picture: LookedAt, got: str) -> BadInputError:
    return BadInputError(
        "a picture is not the one that was read out",
        where=str(picture.file),
        got=got,
        expected=picture.name,
        remedy="name the pictures that the read-out is of, or read them out again",
    )


def keep_page(file: Path, read_out: Path, pictures: Path, folder: Path, by: str) -> str:
    """The same for the file that the page of a read-out saves.

    Args:
        file: `corrections.json`.
        read_out: folder of the read-out.
        pictures: folder of the pictures that were read out, or the only one.
        folder: see `keep_corrections`.
        by: likewise.

    Raises:
        SourceNotFoundError: a file, or a picture that was corrected, is not there.
        BadInputError: a file is not what it should be.
    """
    rows, figures = _json(file, "corrections"), _json(read_out / FIGURES, "pictures")
    made_with = json.loads((read_out / FIGURES).read_text(encoding="utf-8"))["made_with"]
    tile_px, overlap_px = (int(made_with["options"][name]) for name in ("tile_px", "overlap_px"))
    cells = pd.read_csv(read_out / CELLS, dtype={"smear": str, "tile": str})
    wanted = {str(row["picture"]) for row in rows}
    looked_at = []
    for figure in figures:
        is_grid = not figure["file"]
        path = pictures / str(figure["file"]) if pictures.is_dir() and not is_grid else pictures
        is_there = path.is_dir() if is_grid else path.is_file() and path.name == figure["file"]
        if figure["name"] in wanted and not is_there:
            raise SourceNotFoundError(
                "a picture that was corrected is not there",
                where=str(pictures.absolute()),
                expected=str(figure["file"] or "the folder of its tiles"),
                remedy="name the folder of the pictures with --pictures",
            )
        mine = cells[cells["smear"] == figure["name"]]
        cell_px = float(figure["scale"]["cell_px"])
        looked_at.append(LookedAt(str(figure["name"]), path, mine, cell_px, tile_px, overlap_px))
    return keep_corrections(folder, looked_at, rows, by, made_with["models"])


def _json(file: Path, part: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = list(content[part])
    except FileNotFoundError as error:
        raise SourceNotFoundError("a file is not there", where=str(file.absolute())) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            "a file is not what it should be", where=str(file), got=str(error)[:200], expected=f"JSON with {part}"
        ) from error
    return rows
