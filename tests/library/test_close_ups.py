"""Close-ups: cells of a picture that is shown small are cut out at their full size, each where the viewer looks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.assembly import read_smears
from blood_kedro.assembly.read_smears import close_ups_of
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.reporting.picture_pages import Picture
from blood_kedro.library.reporting.viewer import OutlinedPicture, shown_picture
from blood_kedro.library.reporting.viewer.close_ups import COLUMNS, SIDE_PX, close_up, on_a_sheet

RED, GREEN, GROUND = (200, 30, 30), (30, 160, 30), (230, 230, 230)
# A cell of each of two tiles of 128 px.
BOXES = [(40, 50, 60, 70), (180, 90, 200, 110)]


def picture() -> np.ndarray:
    rgb = np.full((128, 256, 3), GROUND, np.uint8)
    for (x0, y0, x1, y1), colour in zip(BOXES, (RED, GREEN), strict=True):
        rgb[y0:y1, x0:x1] = colour
    return rgb


def cells() -> pd.DataFrame:
    table = pd.DataFrame(BOXES, columns=BOX_COLUMNS)
    return table.assign(cell=[7, 9], tile=["0_0", "1_0"], label="rbc", type="teardrop", sureness=0.5)


@pytest.fixture
def smear(tmp_path: Path) -> Smear:
    cv2.imwrite(str(tmp_path / "a.png"), picture()[..., ::-1])
    (opened,) = open_smears([tmp_path / "a.png"], 128, 0, tmp_path / "work", RejectLog("t"))
    return opened


@pytest.mark.parametrize("times", [1, 8], ids=["made larger", "made smaller"])
def test_a_cell_is_in_the_middle_with_a_little_around_it(times: int) -> None:
    large = picture().repeat(times, axis=0).repeat(times, axis=1)
    square = close_up(large, [times * value for value in BOXES[0]])
    assert square.shape == (SIDE_PX, SIDE_PX, 3)
    red = (np.abs(square.astype(int) - RED) < 100).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    for found in (rows, columns):
        assert (found[0] + found[-1]) / 2 == pytest.approx((SIDE_PX - 1) / 2, abs=2)
        assert len(found) == pytest.approx(SIDE_PX / 1.3, abs=3)
    assert (square[0] == GROUND).all()


def test_beyond_the_border_the_picture_goes_on_as_it_ends() -> None:
    assert (close_up(np.full((50, 50, 3), 90, np.uint8), (-3, -3, 10, 10)) == 90).all()


def test_the_squares_of_a_sheet_stand_where_their_numbers_say() -> None:
    squares = {cell: np.full((SIDE_PX, SIDE_PX, 3), cell, np.uint8) for cell in range(40, 40 + COLUMNS + 3)}
    sheet = on_a_sheet(squares)
    assert sheet.rgb.shape == (2 * SIDE_PX, COLUMNS * SIDE_PX, 3)
    for cell, spot in sheet.spots.items():
        row, column = divmod(spot, COLUMNS)
        assert (sheet.rgb[row * SIDE_PX, column * SIDE_PX] == cell).all()


def test_cells_of_a_smear_are_cut_from_their_tiles_at_full_size(smear: Smear) -> None:
    sheet = close_ups_of(smear, cells(), [1, 0])
    assert set(sheet.spots) == {7, 9}
    middle = SIDE_PX // 2
    for cell, colour in ((7, RED), (9, GREEN)):
        assert tuple(sheet.rgb[middle, sheet.spots[cell] * SIDE_PX + middle]) == colour


def test_those_that_are_best_looked_at_first_have_close_ups(smear: Smear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_smears, "MOST_CLOSE_UPS", 1)
    assert set(close_ups_of(smear, cells(), [1, 0]).spots) == {9}
    assert set(close_ups_of(smear, cells().assign(label=["wbc", "rbc"]), [1, 0]).spots) == {7, 9}


def test_the_viewer_is_told_which_square_is_of_which_cell(smear: Smear) -> None:
    sheet = close_ups_of(smear, cells().iloc[:1], [0])
    outlined = OutlinedPicture(Picture("a", picture(), 0.5), cells(), [], [0, 1], 20.0, None, sheet)
    shown = shown_picture(outlined, "a.jpg", "sheet.jpg")
    assert shown["sheet"] == {"src": "sheet.jpg", "columns": COLUMNS, "rows": 1}
    assert [cell["spot"] for cell in shown["cells"]] == [0, None]
    whole = OutlinedPicture(Picture("a", picture(), 1), cells(), [], [0, 1], 20.0, None)
    assert shown_picture(whole, "a.jpg")["sheet"] is None
