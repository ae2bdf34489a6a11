"""What was read of pictures: numbers, tables and masks, and how they are written as a page with files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.files import replaced_folder
from blood_kedro.library.core.model_bundle import load_config
from blood_kedro.library.core.taxonomy import COARSE
from blood_kedro.library.corrections.order import uncertain_first
from blood_kedro.library.counting.count.smears import masks_of
from blood_kedro.library.counting.draw.looks import ReducedLook, reduced
from blood_kedro.library.counting.draw.masks import write_smears
from blood_kedro.library.counting.draw.outlines import outlines
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.imaging.pixels import RgbImage
from blood_kedro.library.readout.corrected import CountedAgain
from blood_kedro.library.readout.read_out import Findings, ReadOut
from blood_kedro.library.readout.scale import Scale
from blood_kedro.library.reporting.picture_pages import MOST_PX, PAGE, Picture
from blood_kedro.library.reporting.read_out_page import MAPS, MASKS, MOST_OUTLINES, write_page
from blood_kedro.library.reporting.viewer import OutlinedPicture
from blood_kedro.library.reporting.viewer.close_ups import WIDE_PX, CloseUps, close_up, on_a_sheet
from blood_kedro.library.reporting.words import in_words
from blood_kedro.library.shipped.bundle import models_folder

# So many cells of a picture that is shown small have close-ups: ten pages of the gallery, some 2 MB.
MOST_CLOSE_UPS = 1200


@dataclass(frozen=True)
class ReadSmears:
    """What was read of pictures.

    Attributes:
        read_out: all numbers, with intervals and verdicts; `read_out.model_dump_json()` is `read_out.json`.
        counts: one row per smear.
        cells: one row per cell: `smear, cell, label, type, sureness`, place, size, box; px of its smear.
        fields: one row per tile.
        masks: of each row of `cells` (`library.counting.count.smears.masks_of` decodes them).
        rejects: what could not be read, and why.
        smears: opened.
        folders: of the finished tiles of each smear, which pictures are drawn from; gone with the work folder.
        scales: of each smear.
        choices: of slides of which some fields were read, those that were looked at (`open.fields_fit.choose_fields`).
        notes: what has to be said of them.
        counted_again: makes the read-out anew of what a person says of cells.
    """

    read_out: ReadOut
    counts: pd.DataFrame
    cells: pd.DataFrame
    fields: pd.DataFrame
    masks: pd.DataFrame
    rejects: pd.DataFrame
    smears: Mapping[str, Smear]
    folders: Mapping[str, Path]
    scales: Mapping[str, Scale]
    choices: Mapping[str, pd.DataFrame]
    notes: list[str]
    counted_again: CountedAgain

    def picture(self, name: str) -> OutlinedPicture:
        """A smear made small enough to be shown, with its cells and their outlines."""
        smear, look = self.smears[name], ReducedLook(MOST_PX)
        picture = Picture(name, *reduced(smear, self.folders[name], look), smear.file)
        cells = self.cells[self.cells["smear"] == name]
        few = len(cells) <= MOST_OUTLINES
        drawn = outlines(masks_of(self.masks[self.masks["smear"] == name]), picture.scale) if few else []
        scale, ranks = self.scales[name], ranks_of(cells)
        are_small = picture.scale < 1 and scale.cell_px * picture.scale < WIDE_PX
        close_ups = close_ups_of(smear, cells, ranks) if are_small else None
        return OutlinedPicture(picture, cells, drawn, ranks, scale.cell_px, scale.um_per_px, close_ups)

    def write(self, folder: Path, *, whole: bool) -> Path:
        """Write page, tables, pictures and masks in place of what a folder held; the path of the page.

        Args:
            folder: see above.
            whole: whether the page shows differential, shapes, sizes and platelets, too.
        """
        with replaced_folder(folder) as part:
            (part / MASKS).mkdir()
            write_smears(part / MASKS, self.counts, self.cells, self.masks)
            figures = self.read_out.model_dump(mode="json")
            names = [row["name"] for row in figures["pictures"]]
            notes = [*self.read_out.notes_of_these(), *self.notes]
            write_page(
                part,
                figures,
                map(self.picture, names),
                self.cells,
                notes,
                self.rejects,
                types_of_kinds(),
                [(name, self._write_map(part, name)) for name in self.choices],
                whole=whole,
            )
        return folder / PAGE

    def _write_map(self, folder: Path, name: str) -> str:
        """Which fields of a slide were read, as a picture in a folder; its file."""
        from blood_kedro.library.counting.draw.fields_map import fields_map  # matplotlib, for slides alone

        file = f"{MAPS}{name}.png"
        fields_map(self.smears[name], self.choices[name]).savefig(folder / file, dpi=100)
        return file

    def lines(self) -> Iterator[str]:
        """A line for each smear, and one for all of them."""
        for each in self.read_out.pictures:
            yield f"{each.name}: {in_words(numbers_of(each))}; {each.verdict.line}"
        if len(self.read_out.pictures) > 1:
            fit = f"{self.read_out.fit_smears} of {len(self.read_out.pictures)} fit for counting"
            yield f"together: {in_words(numbers_of(self.read_out.together))}; {fit}"


def types_of_kinds() -> dict[str, list[str]]:
    """Types that the shipped classifiers know, by kind of cell, and the kind itself where there is no other name."""
    white, red = (list(load_config(models_folder() / name)["classes"]) for name in ("white_cells", "red_cell_shapes"))
    return {
        "wbc": [*(name for name in white if name != "platelet"), "wbc"],
        "rbc": [*red, "rbc"],
        "platelet": ["platelet"],
    }


def ranks_of(cells: pd.DataFrame) -> list[int]:
    """When each cell is best looked at, the least sure ones of all types first (`uncertain_first`); 0 is first."""
    numbered = cells.reset_index(drop=True)
    order = uncertain_first(numbered).index if "type" in cells else numbered.index
    ranks: list[int] = pd.Series(range(len(order)), index=order).loc[numbered.index].tolist()
    return ranks


def close_ups_of(smear: Smear, cells: pd.DataFrame, ranks: Sequence[int]) -> CloseUps:
    """Close-ups of the cells of a smear that are best looked at first, and of white cells; each tile is read once more.

    Args:
        smear: opened.
        cells: one row each.
        ranks: of each row, see `ranks_of`.
    """
    first = np.array(ranks) < MOST_CLOSE_UPS
    white = cells["label"].eq("wbc").to_numpy() & (np.array(ranks) < 2 * MOST_CLOSE_UPS)
    by_tile = dict(tuple(cells[first | white].groupby("tile")))
    squares: dict[int, RgbImage] = {}
    for place in smear.grid.places:
        if place.name not in by_tile:
            continue
        mine, rgb = by_tile[place.name], smear.read(place)
        boxes = mine[BOX_COLUMNS].to_numpy(np.float64) - [place.left, place.top] * 2
        squares |= {int(cell): close_up(rgb, box) for cell, box in zip(mine["cell"], boxes, strict=True)}
    return on_a_sheet(squares)


def numbers_of(findings: Findings) -> dict[str, float]:
    """Red cells, white cells and platelets of a smear, or of several."""
    return {kind: getattr(findings.cells, kind).value for kind in COARSE}
