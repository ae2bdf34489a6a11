"""From what somebody corrected of a read-out, in the app or on its page, to corrections that are kept with pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.corrections.journal import corrections_of
from blood_kedro.library.corrections.store import Corrections
from blood_kedro.library.reporting.picture_pages import CELLS
from blood_kedro.library.reporting.read_out_page import FIGURES

NOBODY = "nobody named"


@dataclass(frozen=True)
class LookedAt:
    """A picture of a read-out: its name and file, its cells, one row each, and the width of a red cell, px."""

    name: str
    file: Path
    cells: pd.DataFrame
    cell_px: float


def keep_corrections(
    folder: Path, pictures: Sequence[LookedAt], rows: Sequence[Mapping[str, Any]], by: str, models: Mapping[str, str]
) -> str:
    """Keep what somebody corrected; a sentence on what was kept, and where.

    Args:
        folder: of corrections (`library.corrections.store`).
        pictures: of the read-out.
        rows: of the viewer: `picture`, `cell`, and `after` with a `type`, or None for what is no cell.
        by: who corrected.
        models: digests of the models that had named the cells, by their names.

    Raises:
        BadInputError: a row is of no cell of these pictures.
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
    for picture in pictures:
        mine = [row for row in rows if row["picture"] == picture.name]
        if not mine:
            continue
        changed = {int(row["cell"]): None if row["after"] is None else str(row["after"]["type"]) for row in mine}
        corrections = corrections_of(picture.cells, picture.cell_px, changed=changed)
        said = ", ".join(f"{name} {digest[:12]}" for name, digest in models.items())
        store.save(store.add_picture(picture.file), corrections, by=by or NOBODY, models=said)
        number += len(changed)
    noun = "correction" if number == 1 else "corrections"
    return f"{number} {noun} saved in {folder}; learn from them: blood-kedro retrain {folder}"


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
    models = json.loads((read_out / FIGURES).read_text(encoding="utf-8"))["made_with"]["models"]
    cells = pd.read_csv(read_out / CELLS, dtype={"smear": str})
    wanted = {str(row["picture"]) for row in rows}
    looked_at = []
    for figure in figures:
        path = pictures / str(figure["file"]) if pictures.is_dir() else pictures
        if figure["name"] in wanted and (not path.is_file() or path.name != figure["file"]):
            raise SourceNotFoundError(
                "a picture that was corrected is not there",
                where=str(pictures.absolute()),
                expected=str(figure["file"]),
                remedy="name the folder of the pictures with --pictures",
            )
        mine = cells[cells["smear"] == figure["name"]]
        looked_at.append(LookedAt(str(figure["name"]), path, mine, float(figure["scale"]["cell_px"])))
    return keep_corrections(folder, looked_at, rows, by, models)


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
