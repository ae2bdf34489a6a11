"""Fields of a slide that are fit for counting: chosen on slides whose zones are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.assembly.open_input import open_input
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import FieldChoice
from blood_kedro.library.counting.draw.fields_map import fields_map
from blood_kedro.library.counting.open.field_look import look_at_field
from blood_kedro.library.counting.open.fields_fit import choose_fields, chooses_fields, with_fields
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.counting.open.tiles import cut_into_tiles, open_sides
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions
from tests.fixtures.counting import count
from tests.fixtures.slides import write_svs

FIELD_PX, CELL_PX = 256, 30
# Zones of a smear from thick to thin, one row of fields each.
ZONES = ("crowded", "monolayer", "blurred", "empty")


def simulated(cells: float, overlapping: float = 0.0, number: int = 1, side_px: int = FIELD_PX) -> np.ndarray:
    options = SmearOptions(
        slides=1,
        fields_per_slide=9,
        width_px=side_px,
        height_px=side_px,
        px_per_um=4,
        cells_per_field={"normal_rbc": cells},
        overlap_share=overlapping,
        density_spread=0,
        precipitate=0,
    )
    return simulate_field(options, 3, 1, number).rgb


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four zones of six fields each."""
    monolayer = [simulated(40, 0.05, number) for number in (1, 2, 3)] * 2
    rows = {
        "crowded": [simulated(90, 0.6)] * 6,
        "monolayer": monolayer,
        "blurred": [np.asarray(cv2.GaussianBlur(field, (0, 0), 4)) for field in monolayer],
        "empty": [simulated(0)] * 6,
    }
    rgb = np.concatenate([np.concatenate(rows[zone], axis=1) for zone in ZONES], axis=0)
    return write_svs(tmp_path_factory.mktemp("slide") / "a.svs", rgb)


def settings(**more: object) -> SmearInput:
    given = {"path": "x", "tile_px": FIELD_PX, "overlap_px": 0, "cell_px": CELL_PX, "most_fields": 4, "workers": 1}
    return SmearInput.model_validate({**given, **more})


def opened(path: Path, options: SmearInput) -> Smear:
    return open_smears([path], options.tile_px, options.overlap_px, path.parent, RejectLog("t"))[0]


def zone_of(choice: pd.DataFrame) -> pd.Series:
    return (choice["y_min_px"] // FIELD_PX).map(dict(enumerate(ZONES)))


def test_fields_of_the_monolayer_are_chosen_and_others_say_why_not(slide: Path) -> None:
    choice = FieldChoice.validate(choose_fields(opened(slide, settings()), CELL_PX, settings()))
    assert len(choice) == 24
    assert set(zone_of(choice[choice["chosen"]])) == {"monolayer"}
    assert choice["chosen"].sum() == 4
    reasons = choice.groupby(zone_of(choice))["reason"].agg(set).to_dict()
    assert reasons == {
        "crowded": {"too crowded"},
        "monolayer": {"chosen", "fit, not needed"},
        "blurred": {"out of focus"},
        "empty": {"too few cells"},
    }


def test_the_choice_is_shown_on_a_map(slide: Path) -> None:
    smear = opened(slide, settings())
    figure = fields_map(smear, choose_fields(smear, CELL_PX, settings()))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["4 counted", "2 fit, not needed", "6 too crowded", "6 out of focus", "6 too few cells"]
    assert [len(each.get_paths()) for each in figure.axes[0].collections] == [4, 2, 18]
    assert len(figure.axes[0].images) == 1  # the small level of the slide lies behind


def test_few_fields_are_looked_at_and_then_the_neighbours_of_the_fit_ones(slide: Path) -> None:
    options = settings(most_fields=3, field_limits={"most_looked_at": 12})
    choice = choose_fields(opened(slide, options), CELL_PX, options)
    assert len(choice) <= 12
    assert set(zone_of(choice[choice["chosen"]])) == {"monolayer"}


def test_where_none_is_fit_the_least_overlapping_are_taken_and_said(slide: Path) -> None:
    options = settings(field_limits={"least_covered": 0.99, "most_covered": 1.0})
    choice = choose_fields(opened(slide, options), CELL_PX, options)
    chosen = choice[choice["chosen"]]
    assert set(zone_of(chosen)) == {"monolayer"}
    assert chosen["reason"].str.startswith("none is fit").all()
    blank = Smear("blank", cut_into_tiles(1024, 512, 256), lambda _: simulated(0), "")
    with pytest.raises(BadInputError, match="no field of the slide shows a cell"):
        choose_fields(blank, CELL_PX, options)


def test_overlap_is_told_by_darkness_and_focus_by_rims_whatever_the_density() -> None:
    apart, overlapping = (look_at_field(simulated(60, share, side_px=400), CELL_PX) for share in (0.0, 0.8))
    assert apart.overlap_share < 0.01 < 0.03 < overlapping.overlap_share
    thin, dense = (look_at_field(simulated(cells), CELL_PX).focus for cells in (8, 30))
    assert dense == pytest.approx(thin, rel=0.15)
    blurred = cv2.GaussianBlur(simulated(30), (0, 0), 4)
    assert look_at_field(np.asarray(blurred), CELL_PX).focus < 0.6 * dense


def test_only_slides_with_many_fields_are_chosen_from_unless_asked(slide: Path) -> None:
    smear = opened(slide, settings())
    assert chooses_fields(smear, settings())
    assert not chooses_fields(smear, settings(most_fields=24))
    assert not chooses_fields(smear, settings(fields="all"))
    picture = Smear("p", smear.grid, lambda _: simulated(0), "")
    assert not chooses_fields(picture, settings())
    assert chooses_fields(picture, settings(fields="fit"))


def test_a_slide_is_opened_with_its_fields_and_scale(slide: Path, tmp_path: Path) -> None:
    rejects = RejectLog("t")
    found = open_input(settings(), [slide], tmp_path, rejects)
    (smear,) = found.smears
    assert [place.name for place in smear.grid.places] == found.choice.loc[found.choice["chosen"], "tile"].tolist()
    assert found.options.px_per_um == pytest.approx(4)
    assert "4 of 24 fields that were looked at are counted" in str(rejects.rows[0]["reason"])
    wrong = open_input(settings(cell_px=90, fields="all"), [slide], tmp_path, rejects)
    assert wrong.options.px_per_um is None
    assert "red cells of 90 px would be 22.5 um wide" in str(rejects.rows[-1]["reason"])
    assert open_input(settings(px_per_um=7.0), [slide], tmp_path, rejects).options.px_per_um == 7


def test_cells_at_the_edge_of_a_chosen_field_are_cut(tmp_path: Path) -> None:
    image = np.full((300, 300, 3), (225, 224, 228), np.uint8)
    for x, y in ((50, 50), (100, 50), (150, 150), (200, 50)):
        cv2.circle(image, (x, y), 15, (200, 135, 150), -1, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    made = count(tmp_path / "a.png", tmp_path / "w", tile_px=100, overlap_px=0, cell_px=30)
    assert made.cells["at_border"].tolist() == [False] * 4  # whole: the parts of (100, 50) are joined
    (smear,) = open_smears([tmp_path / "a.png"], 100, 0, tmp_path, RejectLog("t"))
    left = with_fields(smear, pd.DataFrame({"tile": ["0_0", "1_1"], "chosen": True}))
    assert open_sides(left.grid).all()
    assert open_sides(smear.grid)[4].tolist() == [False] * 4
    assert open_sides(smear.grid)[0].tolist() == [True, True, False, False]
