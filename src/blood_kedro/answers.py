"""What the page of `make app` shows of pictures, and what becomes of it when cells are corrected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from blood_kedro.assembly.own_corrections import LookedAt
    from blood_kedro.library.readout.corrected import Changes, CountedAgain

CORRECTED_CELLS, CORRECTED_FIGURES = "cells_corrected.csv", "read_out_corrected.json"


@dataclass(frozen=True)
class Answer:
    """What the page shows.

    Attributes:
        first: HTML: verdict and three numbers.
        viewer: what `reporting.viewer` takes: pictures with outlines of their cells.
        parts: HTML: differential, shapes, sizes, platelets.
        files: to download.
        used: which models were used; then what of the files was not used, and how their values were read.
        looked_at: what corrections are kept with.
        made_with: digests of the models that named the cells.
        again: makes it anew of what was corrected; None where nothing can be.
    """

    first: str
    viewer: dict[str, Any]
    parts: str
    files: list[str]
    used: list[str]
    looked_at: list[LookedAt]
    made_with: dict[str, str]
    again: Again | None = None


@dataclass(frozen=True)
class Again:
    """What makes an answer anew of corrections.

    Attributes:
        counted: see there.
        folder: that the files of the answer lie in; corrected ones go there, too.
        rejects, notes: as the answer shows them.
        changes: all that was corrected so far.
    """

    counted: CountedAgain
    folder: Path
    rejects: pd.DataFrame
    notes: Sequence[str]
    changes: Changes = field(default_factory=dict)


def corrected(answer: Answer, rows: Sequence[Mapping[str, Any]]) -> Answer:
    """An answer whose verdict, numbers and parts are of the cells as they were corrected.

    The corrected table and numbers are files of their own; what the models said stays beside them. The viewer is left
    as it is: it has the corrections.

    Args:
        answer: that was corrected, before.
        rows: of the viewer, those that were saved now (`own_corrections.keep_corrections`).
    """
    from blood_kedro.library.core.files import write_atomically
    from blood_kedro.library.reporting.read_out_page import Html

    again = answer.again
    if again is None:
        return answer
    now = {(str(row["picture"]), int(row["cell"])): row["after"] and str(row["after"]["type"]) for row in rows}
    changes = {**again.changes, **now}
    read_out, tables = again.counted.read_out(changes)
    figures = read_out.model_dump(mode="json")
    html = Html(figures, again.rejects, [*read_out.notes_of_these(), *again.notes], whole=True)
    table, numbers = (again.folder / name for name in (CORRECTED_CELLS, CORRECTED_FIGURES))
    write_atomically(table, lambda part: tables.cells.to_csv(part, index=False))
    write_atomically(
        numbers, lambda part: part.write_text(json.dumps(figures, indent=1, allow_nan=False), encoding="utf-8")
    )
    files = [*dict.fromkeys([*answer.files, str(table), str(numbers)])]
    return replace(answer, first=html.first(), parts=html.parts(), files=files, again=replace(again, changes=changes))
