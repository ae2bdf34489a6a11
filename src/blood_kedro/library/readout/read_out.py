"""The read-out of smears: everything that is told of them, in one object whose JSON is `read_out.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pydantic import Field, JsonValue

from blood_kedro.library.core.limits import MOST_OVERLAPPING
from blood_kedro.library.readout.confusion import Mistakes
from blood_kedro.library.readout.counts import CellCounts, cell_counts
from blood_kedro.library.readout.differential import Differential, differential
from blood_kedro.library.readout.intervals import Drawing, Result
from blood_kedro.library.readout.platelets import Platelets, platelets
from blood_kedro.library.readout.scale import Scale
from blood_kedro.library.readout.settled import SettledTables, settled
from blood_kedro.library.readout.shapes import Shapes, shapes
from blood_kedro.library.readout.sizes import Sizes, sizes
from blood_kedro.library.readout.stain import StainLikeness
from blood_kedro.library.readout.verdict import Verdict, verdict

RESEARCH_USE = "For research use only: not a medical device, and no basis for a diagnosis."


class MadeWith(Result):
    """What made a read-out."""

    version: str = Field(description="of blood-kedro")
    models: dict[str, str] = Field(description="digest of the weights of each model that was used, by its name")
    options: dict[str, JsonValue] = Field(description="all settings of the count")


class Findings(Result):
    """What is told of one smear, or of several together."""

    cells: CellCounts = Field(description="how many of each kind")
    differential: Differential | None = Field(description="null where types of white cells were not named")
    shapes: Shapes | None = Field(description="null where shapes of red cells were not named")
    sizes: Sizes = Field(description="of red cells")
    platelets: Platelets = Field(description="and what they may mean per microlitre")


class SmearReadOut(Findings):
    """One smear: a picture, or a grid of tiles. Boxes and sizes in px are of it."""

    name: str = Field(description="of the smear, as in the tables")
    file: str = Field(description="name of its file; empty for a grid of tiles")
    width_px: int = Field(gt=0, description="of the smear")
    height_px: int = Field(gt=0, description="of the smear")
    scale: Scale = Field(description="how large cells are, and how that is known")
    stain: StainLikeness | None = Field(description="null where nobody looked")
    verdict: Verdict = Field(description="whether its numbers may be used")


class ReadOut(Result):
    """The read-out of smears."""

    made_with: MadeWith = Field(description="program, models and settings")
    pictures: tuple[SmearReadOut, ...] = Field(description="one per smear")
    together: Findings = Field(description="of all smears, whether fit for counting or not")
    fit_smears: int = Field(ge=0, description="smears that are fit for counting")
    notes: tuple[str, ...] = Field(description="what has to be known beside the numbers")

    def notes_of_these(self) -> list[str]:
        """The notes but for the one that stands on every page anyway."""
        return [note for note in self.notes if note != RESEARCH_USE]


@dataclass(frozen=True)
class Facts:
    """What a read-out needs beside the tables of the count.

    Attributes:
        made_with: see there.
        scales: of each smear, by its name.
        files: names of the files of smears, by the name of the smear; those of grids are left out.
        stains: of smears whose stain was looked at, by name.
        mistakes: of the classifier that named shapes (`confusion.mistakes_of`); None where shapes were not named.
        rbc_per_ul: red cells per microlitre of blood, where they are known.
        most_overlapping: overlapping red cells for each single one above which a smear is not fit.
        drawing: how intervals are made.
    """

    made_with: MadeWith
    scales: Mapping[str, Scale]
    files: Mapping[str, str] = field(default_factory=dict)
    stains: Mapping[str, StainLikeness] = field(default_factory=dict)
    mistakes: Mistakes | None = None
    rbc_per_ul: float | None = None
    most_overlapping: float = MOST_OVERLAPPING
    drawing: Drawing = field(default_factory=Drawing)


def summarise(counts: pd.DataFrame, cells: pd.DataFrame, fields: pd.DataFrame, facts: Facts) -> ReadOut:
    """The read-out of the tables of a count (`counting.chain.Counted`).

    Cells are counted on the tables that `settled` gives; a table of cells that is shown beside the read-out must be
    that one, too.

    Args:
        counts: one row per smear, at least one.
        cells: one row per cell; with `type` where types and shapes were named.
        fields: one row per tile.
        facts: all else.

    Raises:
        UnknownLabelError: cells have a type that is none of the taxonomy's, or a shape that the classifier lacks.
    """
    tables = settled(counts, cells, fields)
    pictures = tuple(
        _picture(row, _of_smear(tables, str(row["smear"])), facts) for row in tables.counts.to_dict("records")
    )
    together = pictures[0] if len(pictures) == 1 else _findings(tables, facts)
    return ReadOut(
        made_with=facts.made_with,
        pictures=pictures,
        together=Findings(**{name: getattr(together, name) for name in Findings.model_fields}),
        fit_smears=sum(each.verdict.fit for each in pictures),
        notes=_notes(tables, pictures),
    )


def _of_smear(tables: SettledTables, smear: str) -> SettledTables:
    counts, cells, fields = (table[table["smear"] == smear] for table in (tables.counts, tables.cells, tables.fields))
    return SettledTables(counts, cells, fields, tables.relabelled)


def _findings(tables: SettledTables, facts: Facts) -> Findings:
    cells, fields, drawing = tables.cells, tables.fields, facts.drawing
    named = "type" in cells
    return Findings(
        cells=cell_counts(tables, drawing),
        differential=differential(cells, fields, drawing) if named else None,
        shapes=shapes(cells, fields, facts.mistakes, drawing) if named and facts.mistakes is not None else None,
        sizes=sizes(cells, fields, facts.scales, drawing),
        platelets=platelets(cells, fields, drawing, facts.rbc_per_ul),
    )


def _picture(row: dict[Any, Any], tables: SettledTables, facts: Facts) -> SmearReadOut:
    name = str(row["smear"])
    stain = facts.stains.get(name)
    return SmearReadOut(
        **dict(_findings(tables, facts)),
        name=name,
        file=facts.files.get(name, ""),
        width_px=int(row["width_px"]),
        height_px=int(row["height_px"]),
        scale=facts.scales[name],
        stain=stain,
        verdict=verdict(
            red_cells=int(row["rbc"]),
            overlap_ratio=float(row["overlap_ratio"]),
            tiles=int(row["tiles"]),
            failed_tiles=int(row["failed_tiles"]),
            scale=facts.scales[name],
            stain=stain,
            most_overlapping=facts.most_overlapping,
        ),
    )


def _notes(tables: SettledTables, pictures: tuple[SmearReadOut, ...]) -> tuple[str, ...]:
    notes = [RESEARCH_USE]
    unfit = sum(not each.verdict.fit for each in pictures)
    if unfit:
        notes.append(f"{unfit} of {len(pictures)} smears are not fit for counting; their cells are in all numbers.")
    if tables.relabelled:
        notes.append(
            f"Taken for white cells by the detector, for platelets by the classifier, and counted as platelets: "
            f"{tables.relabelled}."
        )
    by_rule, rows = (int(tables.counts[name].sum()) for name in ("rbc", "rbc_rows"))
    if by_rule != rows:
        notes.append(
            f"Red cells are counted by the rule {tables.counts['rule'].iloc[0]}: {by_rule}; the table of cells has "
            f"{rows} rows of them, of which some stand for several cells or none."
        )
    if "type" not in tables.cells:
        notes.append("Types of white cells and shapes of red cells were switched off.")
    return tuple(notes)
