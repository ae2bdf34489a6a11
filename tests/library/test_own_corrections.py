"""Corrections of what is never held whole: slides, grids of tiles, large pictures. Their fields are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.assembly.own_corrections import LookedAt, cells_in_view, keep_corrections, keep_page
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.corrections.store import COCO, Corrections
from blood_kedro.library.counting.open.tiles import cut_into_tiles
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.imaging.slide import window_of
from tests.fixtures.slides import write_svs

TILE_PX, OVERLAP_PX, CELL_PX = 256, 32, 30.0
# Two cells of tile 0_0, the second of which its neighbour 1_0 shows half, and one in the middle of tile 1_1.
BOXES = [(20.0, 20.0, 50.0, 50.0), (225.0, 100.0, 255.0, 130.0), (300.0, 300.0, 330.0, 331.5)]
TILES = ["0_0", "0_0", "1_1"]


def cells() -> pd.DataFrame:
    table = pd.DataFrame(BOXES, columns=BOX_COLUMNS)
    more = {"cell": [1, 2, 3], "tile": TILES, "label": "wbc", "type": "neutrophil", "sureness": 0.5}
    return table.assign(**more)


def pixels(height: int = 500, width: int = 600) -> np.ndarray:
    """No two windows look alike."""
    small = np.random.default_rng(0).integers(60, 250, (height // 10, width // 10, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def looked_at(file: Path, name: str = "a") -> LookedAt:
    return LookedAt(name, file, cells(), CELL_PX, TILE_PX, OVERLAP_PX)


def row(cell: int, named: str | None, picture: str = "a") -> dict[str, Any]:
    return {"picture": picture, "cell": cell, "after": None if named is None else {"label": "wbc", "type": named}}


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_svs(tmp_path / "a.svs", pixels())


def keep(folder: Path, file: Path, rows: Sequence[dict[str, Any]], name: str = "a") -> pd.DataFrame:
    said = keep_corrections(folder, [looked_at(file, name)], rows, "ann", {"white_cells": "12ab"})
    assert f"{len(rows)} correction" in said
    return Corrections(folder).cells()


def test_corrected_cells_of_a_slide_are_kept_with_the_field_that_they_lie_in(slide: Path, tmp_path: Path) -> None:
    standing = keep(tmp_path / "kept", slide, [row(1, "monocyte"), row(3, None)])
    by_action = standing.set_index("action")
    assert standing["action"].value_counts().to_dict() == {"unseen": 1, "changed": 1, "not_a_cell": 1}
    assert set(standing["smear"]) == {"a"}  # so that a split keeps the fields of one slide on one side
    assert standing["file"].nunique() == 2
    for action, box in (("changed", BOXES[0]), ("not_a_cell", BOXES[2])):
        mine = by_action.loc[action]
        x0, y0, x1, y1 = (round(float(mine[name])) for name in BOX_COLUMNS)
        shown = read_rgb(Path(mine["file"]))[y0:y1, x0:x1]
        left, top, right, bottom = map(round, box)
        assert np.array_equal(shown, window_of(slide, 0, (left, top, right, bottom)))
    assert by_action.loc["changed", "file"] == by_action.loc["unseen", "file"]  # the other cell of this field
    names = set(Corrections(tmp_path / "kept").pictures()["name"])
    assert names == {"a, field 0_0", "a, field 1_1"}
    coco = json.loads((tmp_path / "kept" / COCO).read_text())
    assert [each["iscrowd"] for each in coco["annotations"]] == [0, 1]


def test_a_field_that_is_corrected_twice_is_one_picture(slide: Path, tmp_path: Path) -> None:
    keep(tmp_path / "kept", slide, [row(1, "monocyte")])
    standing = keep(tmp_path / "kept", slide, [row(1, "lymphocyte"), row(2, "neutrophil")])
    assert standing["file"].nunique() == 1
    assert standing["type_after"].tolist() == ["lymphocyte", "neutrophil"]
    assert standing["action"].tolist() == ["changed", "confirmed"]


def test_cells_of_neighbours_are_seen_as_far_as_a_tile_shows_them() -> None:
    places = {place.name: place for place in cut_into_tiles(600, 500, TILE_PX, OVERLAP_PX).places}
    assert places["1_0"].left == TILE_PX - OVERLAP_PX
    seen = cells_in_view(cells(), places["1_0"])
    assert seen["cell"].tolist() == [2]
    assert seen[BOX_COLUMNS].to_numpy().tolist() == [[1, 100, 31, 130]]
    assert cells_in_view(cells(), places["2_0"]).empty


def test_a_picture_that_is_not_held_is_kept_in_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), pixels()[..., ::-1])
    whole = keep(tmp_path / "whole", file, [row(1, "monocyte")])
    assert Path(whole["file"][0]).read_bytes() == file.read_bytes()
    monkeypatch.setattr("blood_kedro.library.imaging.large._UNPACKED_PIXELS", 1000)
    parts = keep(tmp_path / "parts", file, [row(3, "monocyte")])
    changed = parts[parts["action"] == "changed"].iloc[0]
    x0, y0, x1, y1 = (round(float(changed[name])) for name in BOX_COLUMNS)
    assert np.array_equal(read_rgb(Path(changed["file"]))[y0:y1, x0:x1], pixels()[300:332, 300:330])


def test_a_grid_of_tiles_is_kept_by_its_tiles(tmp_path: Path) -> None:
    folder = tmp_path / "tiles"
    folder.mkdir()
    for column in range(2):
        for line in range(2):
            part = pixels()[line * TILE_PX :, column * TILE_PX :][:240, :256]
            cv2.imwrite(str(folder / f"{column}_{line}.png"), part[..., ::-1])
    standing = keep(tmp_path / "kept", folder, [row(3, "monocyte", "tiles")], name="tiles")
    kept = read_rgb(Path(standing["file"][0]))
    assert np.array_equal(kept, read_rgb(folder / "1_1.png"))


def test_a_slide_that_is_not_the_one_that_was_read_out_is_refused(tmp_path: Path) -> None:
    other = write_svs(tmp_path / "a.svs", pixels(200, 200))
    with pytest.raises(BadInputError, match="not the one that was read out"):
        keep_corrections(tmp_path / "kept", [looked_at(other)], [row(3, "monocyte")], "ann", {})
    assert not (tmp_path / "kept/corrections.csv").exists()


def test_the_page_of_a_slide_is_kept_by_its_files(slide: Path, tmp_path: Path) -> None:
    read_out, saved = tmp_path / "read_out", tmp_path / "corrections.json"
    read_out.mkdir()
    cells().assign(smear="a").to_csv(read_out / "cells.csv", index=False)
    options = {"tile_px": TILE_PX, "overlap_px": OVERLAP_PX}
    figures = {
        "pictures": [{"name": "a", "file": slide.name, "scale": {"cell_px": CELL_PX}}],
        "made_with": {"models": {"white_cells": "12ab"}, "options": options},
    }
    (read_out / "read_out.json").write_text(json.dumps(figures))
    saved.write_text(json.dumps({"corrections": [row(3, "monocyte")]}))
    said = keep_page(saved, read_out, slide.parent, tmp_path / "kept", "ann")
    assert said.startswith("1 correction saved in")
    assert Corrections(tmp_path / "kept").pictures()["name"].tolist() == ["a, field 1_1"]
    slide.unlink()
    with pytest.raises(SourceNotFoundError, match=r"(?s)a picture that was corrected is not there.*a\.svs"):
        keep_page(saved, read_out, slide.parent, tmp_path / "kept", "ann")
