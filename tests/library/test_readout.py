"""A read-out as a whole: one number for one thing, verdicts with their reasons, a JSON that comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.limits import LEAST_RED_CELLS, LEAST_SCALE_CONFIDENCE, MOST_OVERLAPPING
from blood_kedro.library.core.taxonomy import NOT_NAMED
from blood_kedro.library.readout import schema
from blood_kedro.library.readout.confusion import Mistakes
from blood_kedro.library.readout.corrected import CountedAgain
from blood_kedro.library.readout.intervals import Drawing
from blood_kedro.library.readout.read_out import RESEARCH_USE, Facts, MadeWith, ReadOut, summarise
from blood_kedro.library.readout.scale import Scale
from blood_kedro.library.readout.settled import settled
from blood_kedro.library.readout.stain import stain_table
from blood_kedro.library.readout.verdict import FIT, Verdict, verdict
from tests.conftest import PROJECT
from tests.fixtures.readout import cells_table, counts_table, fields_table, many
from tests.library.test_readout_shapes import ANSWERS, CLASSES

SCALE = Scale(cell_px=36, origin="measured", confidence=0.8)
MISTAKES = Mistakes(CLASSES, ANSWERS, np.ones(3), "3,000 labelled cells")
TILES = [("a", "0_0"), ("b", "0_0"), ("b", "1_0")]


def facts(**more: Any) -> Facts:
    made_with = MadeWith(version="1", models={"cells": "d5"}, options={"tile_px": 512})
    scales = {"a": SCALE, "b": Scale(cell_px=40, origin="given", confidence=1)}
    return Facts(made_with, scales, mistakes=MISTAKES, drawing=Drawing(50, 0), **more)


def two_smears() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = [*many(30, type="normal_rbc"), *many(2, type="schistocyte", smear="b"), *many(8, smear="b", tile="1_0")]
    rows += [*many(3, label="wbc", type="lymphocyte"), *many(1, label="wbc", type="other", smear="b")]
    rows += [*many(1, label="wbc", type="erythroblast", smear="b"), *many(1, label="wbc")]
    rows += [*many(2, label="wbc", type="platelet", smear="b", area_px2=60), *many(4, label="platelet", area_px2=50)]
    cells = cells_table(rows)
    return counts_table(cells, ("a", "b")), cells, fields_table(cells, TILES)


def test_all_parts_count_the_same_cells() -> None:
    made = summarise(*two_smears(), facts(files={"a": "a.png"}))
    for part, smear in ((made.together, None), (made.pictures[0], "a"), (made.pictures[1], "b")):
        tables = settled(*two_smears())
        mine, rows, fields = (
            t if smear is None else t[t["smear"] == smear] for t in (tables.cells, tables.counts, tables.fields)
        )
        numbers = mine["label"].value_counts()
        told = {"rbc": part.cells.rbc, "wbc": part.cells.wbc, "platelet": part.cells.platelet}
        for kind, number in told.items():
            assert number.value == numbers.get(kind, 0) == rows[kind].sum() == fields[kind].sum()
        assert part.differential is not None and part.shapes is not None
        assert part.differential.white_cells + part.differential.erythroblasts == part.cells.wbc.value
        assert sum(row.cells for row in part.differential.types) == part.differential.white_cells
        assert part.platelets.platelets == part.cells.platelet.value
        assert part.platelets.red_cells == part.cells.rbc.value == part.cells.rbc_rows == part.shapes.whole_cells
        assert sum(row.cells for row in part.shapes.shapes) == part.shapes.named
    assert (made.pictures[0].file, made.pictures[1].file) == ("a.png", "")
    assert made.together.cells.wbc.value == 6 and made.together.cells.platelet.value == 6
    assert any(note.endswith("and counted as platelets: 2.") for note in made.notes)
    assert made.notes[0] == RESEARCH_USE


def numbered(tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> CountedAgain:
    counts, cells, fields = tables
    cells = cells.assign(cell=cells.groupby("smear").cumcount() + 1, sureness=0.5)
    return CountedAgain(counts, cells, fields, facts())


def test_a_read_out_with_corrections_counts_the_corrected_cells() -> None:
    again = numbered(two_smears())
    before, _ = again.read_out()
    # Of smear a: two red cells are a lymphocyte and no cell, one is a schistocyte, a lymphocyte is a red cell.
    changes = {("a", 1): "lymphocyte", ("a", 2): None, ("a", 3): "schistocyte", ("a", 31): "rbc"}
    after, tables = again.read_out(changes)
    (a, b), (a_before, b_before) = after.pictures, before.pictures
    assert a_before.cells.rbc.value == 30 and a.cells.rbc.value == a.cells.rbc_rows == 29
    assert a.cells.wbc.value == a_before.cells.wbc.value and b.cells == b_before.cells
    assert a.shapes is not None and a.shapes.named == 28 and a.shapes.not_named == 1
    assert {row.shape: row.cells for row in a.shapes.shapes}["schistocyte"] == 1
    assert int(tables.fields["rbc"].sum()) == after.together.cells.rbc.value == 39
    rows = tables.cells[tables.cells["corrected"]]
    assert rows[["smear", "cell", "label", "type"]].to_numpy().tolist() == [
        ["a", 1, "wbc", "lymphocyte"],
        ["a", 3, "rbc", "schistocyte"],
        ["a", 31, "rbc", NOT_NAMED],
    ]
    assert (rows["sureness"] == 1).all() and len(tables.cells) == len(again.cells) - 1
    assert "4 cells were looked at by a person." in after.notes
    assert again.read_out()[0] == before  # nothing of it is kept
    with pytest.raises(BadInputError, match="cell 99 of b"):
        again.read_out({("b", 99): "rbc"})


def test_a_rule_that_counts_otherwise_is_named() -> None:
    counts, cells, fields = two_smears()
    made = summarise(counts.assign(rbc=[33, 12], rule="mode"), cells, fields, facts())
    assert (made.together.cells.rbc.value, made.together.cells.rbc_rows) == (45, 40)
    assert made.together.cells.rbc_rule == "mode"
    assert any("by the rule mode: 45; the table of cells has 40" in note for note in made.notes)


def test_the_json_comes_back_and_holds_nothing_that_is_no_number() -> None:
    made = summarise(*two_smears(), facts())
    text = made.model_dump_json()
    assert ReadOut.model_validate_json(text) == made
    assert "NaN" not in text and "Infinity" not in text


def test_without_types_there_are_no_types() -> None:
    counts, cells, fields = two_smears()
    made = summarise(counts, cells.drop(columns="type"), fields, facts())
    assert made.together.differential is None and made.together.shapes is None
    assert made.together.cells.wbc.value == 8
    assert "Types of white cells and shapes of red cells were switched off." in made.notes


def test_a_smear_without_a_cell_has_a_read_out() -> None:
    cells = cells_table([])
    made = summarise(counts_table(cells), cells, fields_table(cells), facts())
    assert (made.together.cells.rbc.value, made.fit_smears) == (0, 0)
    assert made.pictures[0].verdict.line == "not fit for counting: too few cells"
    assert ReadOut.model_validate_json(made.model_dump_json()) == made


def judged(**changed: Any) -> Verdict:
    usual = {"red_cells": LEAST_RED_CELLS, "overlap_ratio": MOST_OVERLAPPING, "tiles": 4, "failed_tiles": 0}
    return verdict(**{**usual, "scale": SCALE, "stain": None, **changed})


def test_what_is_at_its_limits_is_fit() -> None:
    at_limit = Scale(cell_px=36, origin="measured", confidence=LEAST_SCALE_CONFIDENCE)
    assert judged(scale=at_limit) == Verdict(fit=True, line=FIT, reasons=())


@pytest.mark.parametrize(
    ("changed", "reason", "advice"),
    [
        ({"red_cells": LEAST_RED_CELLS - 1}, "too few cells: 9 red cells", "fuller fields"),
        ({"overlap_ratio": 0.4}, "too crowded: 0.40 overlapping red cells for each single one", "feathered edge"),
        (
            {"scale": SCALE.model_copy(update={"confidence": 0.1})},
            "scale unsure: red cells seem 36 px wide",
            "give its width",
        ),
        ({"failed_tiles": 2}, "2 of 4 tiles could not be read", "rejects"),
    ],
)
def test_each_reason_is_told_with_what_to_do(changed: dict[str, Any], reason: str, advice: str) -> None:
    made = judged(**changed)
    assert not made.fit and len(made.reasons) == 1
    assert made.reasons[0].startswith(reason) and advice in made.reasons[0]
    assert made.line == f"not {FIT}: " + made.reasons[0].split(":", maxsplit=1)[0]


def test_all_reasons_are_told() -> None:
    made = judged(red_cells=0, overlap_ratio=1.0, failed_tiles=1)
    assert [reason.split(":")[0] for reason in made.reasons] == [
        "too few cells", "too crowded", "1 of 4 tiles could not be read",
    ]  # fmt: skip


def test_every_entry_of_the_json_is_explained_and_stands_in_the_documentation() -> None:
    parts = schema.entries()
    assert not [f"{part}.{name}" for part, rows in parts.items() for name, (_, meaning) in rows.items() if not meaning]
    dumped = summarise(*two_smears(), facts()).model_dump()
    assert set(parts["ReadOut"]) == set(dumped) and set(parts["SmearReadOut"]) == set(dumped["pictures"][0])
    assert "| `low` | number or null |" in schema.table()
    page = (PROJECT / "docs/read_out.md").read_text()
    assert "<!-- table of the read-out -->" in page
    for limit in (LEAST_RED_CELLS, LEAST_SCALE_CONFIDENCE, MOST_OVERLAPPING, round(stain_table().limit, 2)):
        assert str(limit) in page
