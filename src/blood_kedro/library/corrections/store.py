"""Corrections in a folder that is a source of this project, too: pictures, a journal, and a COCO json made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import copyfile

import cv2
import pandas as pd
from pandera.typing import Series

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError, OutputError, SourceNotFoundError
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.schemas.table import Table, column, conform, empty
from blood_kedro.library.corrections.as_coco import coco_of
from blood_kedro.library.corrections.journal import Correction, CorrectionTable, rows_of, standing
from blood_kedro.library.imaging.read import RgbImage, inspect_image

JOURNAL, PICTURES, COCO = "corrections.csv", "pictures.csv", "_annotations.coco.json"
_PICTURE_FOLDER = "images"
_LOCK = "corrections.lock"
_PATIENCE_S = 60.0
_NAME_DIGITS = 16


class PictureTable(Table):
    """Pictures that corrections are of."""

    picture: Series[str] = column("first 16 digits of the SHA-256 of the file", unique=True)
    file: Series[str] = column("path of the file below the folder of corrections")
    name: Series[str] = column("name that the picture had where it came from")
    smear: Series[str] = column("what it was counted together with; empty where nobody said", nullable=True)
    width_px: Series[int] = column("width as viewed, px", gt=0)
    height_px: Series[int] = column("height as viewed, px", gt=0)


class Corrections:
    """A folder of corrections.

    `images/` holds the pictures, named by their content; `corrections.csv` is the journal, to which rows are only
    added; `pictures.csv` says what the pictures are; `_annotations.coco.json` is what stands of the journal, made anew
    with each save, so that an entry with `adapter: coco` reads the folder as a source. Cells
    that nobody looked at are ignore regions there (`iscrowd`): neither expected nor wrong.

    Several processes may save at once: each waits for its turn.

    Args:
        folder: made at the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_picture(self, path: Path, smear: str | None = None) -> str:
        """Keep a copy of a picture's file, unless it is there already, and give the name that corrections use.

        Args:
            path: of the picture.
            smear: what it is a field of, where that is known: fields of one smear are never on two sides of a split.

        Raises:
            BadInputError: the file is no picture that can be read whole. Of a slide, keep fields: `add_field`.
        """
        facts = inspect_image(path)
        size = (facts.width_px, facts.height_px)
        return self._keep(facts.sha256, path.suffix.lower(), (path.name, smear), size, partial(copyfile, path))

    def add_field(self, rgb: RgbImage, name: str, smear: str | None = None) -> str:
        """Keep pixels `(H, W, 3) uint8` as a PNG, a field of a slide for instance; gives what `add_picture` gives.

        Args:
            rgb: pixels.
            name: of the field, for a reader.
            smear: see `add_picture`.
        """
        png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
        size = (rgb.shape[1], rgb.shape[0])
        digest = sha256(png).hexdigest()
        return self._keep(digest, ".png", (name, smear), size, lambda temporary: temporary.write_bytes(png))

    def _keep(
        self,
        digest: str,
        suffix: str,
        name_and_smear: tuple[str, str | None],
        size_px: tuple[int, int],
        write: Callable[[Path], object],
    ) -> str:
        picture = digest[:_NAME_DIGITS]
        file = f"{_PICTURE_FOLDER}/{picture}{suffix}"
        (name, smear), (width, height) = name_and_smear, size_px
        row: dict[str, object] = {
            "picture": picture,
            "file": file,
            "name": name,
            "smear": smear,
            "width_px": width,
            "height_px": height,
        }
        with self._turn():
            known = self.pictures()
            if picture not in set(known["picture"]):
                write_atomically(self.folder / file, write)
                self._write(PICTURES, _with(known, conform(PictureTable, [row])))
        return picture

    def save(self, picture: str, corrections: Sequence[Correction], *, by: str, models: str = "") -> None:
        """Add corrections of a picture to the journal and bring the COCO json up to date.

        Args:
            picture: name that `add_picture` gave.
            corrections: of different cells.
            by: who made them.
            models: digests of the models whose answers were corrected.

        Raises:
            BadInputError: the picture is not kept here, or a correction cannot be meant.
            OutputError: another process has kept the folder to itself for a minute.
        """
        with self._turn():
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            rows = rows_of(picture, corrections, by=by, at=at, models=models)
            if picture not in set(self.pictures()["picture"]):
                raise BadInputError(
                    "corrections are of a picture that is not kept with them",
                    where=str(self.folder),
                    got=picture,
                    remedy="add the picture first",
                )
            journal = _with(self.journal(), conform(CorrectionTable, rows))
            self._write(JOURNAL, journal)
            self._write_coco(standing(journal))

    def journal(self) -> pd.DataFrame:
        """All rows (`CorrectionTable`), the oldest first.

        Raises:
            DataContractError: somebody has changed the file so that it is no journal any more.
        """
        return _read(self.folder / JOURNAL, CorrectionTable)

    def pictures(self) -> pd.DataFrame:
        """The pictures that are kept (`PictureTable`)."""
        return _read(self.folder / PICTURES, PictureTable)

    def cells(self) -> pd.DataFrame:
        """What stands: one row per cell of `CorrectionTable`, and `file` (path) and `smear` of its picture.

        Raises:
            SourceNotFoundError: nothing was ever saved here.
        """
        rows = standing(self.journal())
        if not len(rows):
            raise SourceNotFoundError(
                "there are no corrections",
                where=str(self.folder.absolute()),
                expected=JOURNAL,
                remedy="correct some cells and save them first",
            )
        pictures = self.pictures().set_index("picture").loc[rows["picture"]]
        files = [str(self.folder / file) for file in pictures["file"]]
        return rows.assign(file=files, smear=pictures["smear"].tolist())

    def _write(self, name: str, table: pd.DataFrame) -> None:
        write_bytes_atomically(self.folder / name, table.to_csv(index=False).encode())

    def _write_coco(self, rows: pd.DataFrame) -> None:
        content = coco_of(rows, self.pictures())
        write_bytes_atomically(self.folder / COCO, json.dumps(content, indent=1).encode())

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes meanwhile; the lock ends with the process that has it."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / _LOCK, timeout=_PATIENCE_S):
                yield
        except Timeout as error:
            raise OutputError(
                "another process has been writing these corrections for a minute",
                where=str(self.folder.absolute()),
                remedy="wait until it has ended, and save again",
            ) from error


def fingerprint_of(cells: pd.DataFrame) -> str:
    """Of what stands: changes when a picture, a box or a type does, not when somebody saves the same again."""
    said = cells[["picture", *BOX_COLUMNS, "cell_px", "action", "type_after"]].fillna("")
    return table_fingerprint(said.sort_values(["picture", *BOX_COLUMNS]).reset_index(drop=True))


def _with(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Both tables, one below the other."""
    return pd.concat([table, more], ignore_index=True) if len(table) else more


def _read(path: Path, schema: type[Table]) -> pd.DataFrame:
    if not path.is_file():
        return empty(schema)
    texts = {name: str for name, each in schema.to_schema().columns.items() if str(each.dtype) == "str"}
    table: pd.DataFrame = schema.validate(pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""]))
    return table
