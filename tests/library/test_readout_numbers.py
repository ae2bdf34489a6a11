"""Numbers of a read-out: intervals, differential, sizes, platelets, grades; each against an answer that is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from blood_kedro.library.core.errors import DataContractError, UnknownLabelError
from blood_kedro.library.core.limits import RED_CELL_UM
from blood_kedro.library.core.taxonomy import PARENT
from blood_kedro.library.readout.differential import differential
from blood_kedro.library.readout.grades import THRESHOLDS, grade_of
from blood_kedro.library.readout.intervals import (
    Drawing,
    count_of,
    fields_of,
    poisson_limits,
    ratio_of,
    share_of,
    wilson_limits,
)
from blood_kedro.library.readout.platelets import RBC_PER_UL, platelets
from blood_kedro.library.readout.scale import Scale, cell_px_at
from blood_kedro.library.readout.sizes import sizes
from tests.fixtures.readout import cells_table, fields_table, many

DRAWING = Drawing(resamples=400, seed=0)
PX = {"a": Scale(cell_px=36, origin="measured", confidence=0.8)}


def um(per_px: float) -> dict[str, Scale]:
    return {"a": Scale(cell_px=36, origin="given", confidence=1, um_per_px=per_px, um_origin="given")}


def test_wilsons_limits_are_those_of_the_table() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3: 81/263, 15/148, 0/20, 1/29.
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (part, whole), limits in known.items():
        assert wilson_limits(part, whole) == pytest.approx(limits, abs=1e-4)
        again = stats.binomtest(part, whole).proportion_ci(method="wilson")
        assert wilson_limits(part, whole) == pytest.approx([again.low, again.high], abs=1e-9)
    assert wilson_limits(7, 7)[1] == 1


def test_limits_of_a_count_are_those_of_the_table() -> None:
    # Garwood's limits, as in any table of the Poisson distribution.
    assert poisson_limits(0) == pytest.approx([0, 3.6889], abs=1e-4)
    assert poisson_limits(10) == pytest.approx([4.7954, 18.3904], abs=1e-4)


def test_few_fields_take_cells_as_independent_and_many_are_drawn_whole() -> None:
    few = share_of(np.array([3.0, 1]), np.array([10.0, 10]), DRAWING, 100)
    assert (few.method, few.value) == ("wilson", pytest.approx(20))
    assert [few.low, few.high] == pytest.approx([100 * limit for limit in wilson_limits(4, 20)])
    # 20 fields of 10 cells, half of them all of the kind and half none: fields tell far less than 200 cells would.
    gathered = share_of(np.repeat([10.0, 0], 10), np.full(20, 10.0), DRAWING)
    assert (gathered.method, gathered.value) == ("fields", 0.5)
    wilson = wilson_limits(100, 200)
    assert gathered.low is not None and gathered.low < wilson[0] - 0.08
    assert gathered.high is not None and gathered.high > wilson[1] + 0.08
    never = share_of(np.zeros(20), np.full(20, 10.0), DRAWING)  # no field has any: drawing fields would say 0 to 0
    assert (never.method, never.value) == ("wilson", 0)
    assert never.high == pytest.approx(wilson_limits(0, 200)[1])


def test_without_a_whole_there_is_no_share() -> None:
    assert share_of(np.zeros(3), np.zeros(3), DRAWING).model_dump() == {
        "value": None, "low": None, "high": None, "method": "none",
    }  # fmt: skip
    assert ratio_of(np.ones(1), np.zeros(1), DRAWING).value is None
    assert count_of(np.zeros(0), DRAWING).value == 0


def test_a_ratio_has_the_odds_of_a_share_as_limits() -> None:
    found = ratio_of(np.array([20.0]), np.array([100.0]), DRAWING, 1000)
    low, high = wilson_limits(20, 120)
    assert (found.value, found.low, found.high) == pytest.approx(
        (200, 1000 * low / (1 - low), 1000 * high / (1 - high))
    )


def test_cells_of_a_tile_that_was_not_read_are_an_error() -> None:
    cells = cells_table(many(2, tile="1_0"))
    with pytest.raises(DataContractError, match="1_0 of a"):
        fields_of(cells, fields_table(cells))
    broken = fields_table(cells, [("a", "0_0"), ("a", "1_0")]).assign(error=["", "cut short"])
    with pytest.raises(DataContractError):
        fields_of(cells, broken)
    assert fields_of(cells.iloc[:0], broken).count == 1


def white(**numbers: int) -> pd.DataFrame:
    return cells_table([row for name, number in numbers.items() for row in many(number, label="wbc", type=name)])


def test_a_differential_of_a_known_hundred() -> None:
    cells = white(
        segmented_neutrophil=50, band_neutrophil=5, neutrophil=3, lymphocyte=30, monocyte=6, eosinophil=3, basophil=1,
        metamyelocyte=2, other=10, erythroblast=11,
    )  # fmt: skip
    made = differential(cells, fields_table(cells), DRAWING)
    shares = {row.type: (row.cells, row.percent.value) for row in made.types}
    assert shares == {
        "neutrophil": (58, pytest.approx(100 * 58 / 110)),
        "lymphocyte": (30, pytest.approx(100 * 30 / 110)),
        "monocyte": (6, pytest.approx(100 * 6 / 110)),
        "eosinophil": (3, pytest.approx(100 * 3 / 110)),
        "basophil": (1, pytest.approx(100 * 1 / 110)),
        "immature_granulocyte": (2, pytest.approx(100 * 2 / 110)),
        "other": (10, pytest.approx(100 * 10 / 110)),
    }
    named = {row.type: row.percent_of_named.value for row in made.types if row.percent_of_named is not None}
    assert named["neutrophil"] == pytest.approx(58)
    assert sum(value for value in named.values() if value is not None) == pytest.approx(100)
    assert {row.type: row.cells for row in made.neutrophils} == {"segmented_neutrophil": 50, "band_neutrophil": 5}
    assert sum(row.cells for row in made.types) == made.white_cells == 110
    assert made.white_cells + made.erythroblasts == len(cells)
    assert made.erythroblasts_per_100.value == pytest.approx(10)
    assert made.sufficient and made.reason == ""


@pytest.mark.parametrize(
    ("lymphocytes", "unsure", "sufficient", "reason"),
    [
        (100, 0, True, ""),
        (99, 0, False, "insufficient: 99 of 100 white cells"),
        (37, 80, False, "insufficient: 37 of 100 white cells (80 more have no type)"),
        (0, 0, False, "insufficient: 0 of 100 white cells"),
    ],
)
def test_a_differential_is_told_of_a_hundred_white_cells(
    lymphocytes: int, unsure: int, sufficient: bool, reason: str
) -> None:
    cells = white(lymphocyte=lymphocytes, other=unsure, erythroblast=5)
    made = differential(cells, fields_table(cells), DRAWING)
    assert (made.sufficient, made.reason) == (sufficient, reason)


def test_a_type_that_nobody_knows_is_an_error() -> None:
    cells = white(dendritic=1)
    with pytest.raises(UnknownLabelError, match="dendritic"):
        differential(cells, fields_table(cells), DRAWING)


def test_grades_change_at_their_thresholds() -> None:
    assert [grade_of("schistocyte", p) for p in (0, 0.1, 0.99, 1, 2, 2.01)] == ["none", "1+", "1+", "2+", "2+", "3+"]
    assert [grade_of("target_cell", p) for p in (0, 4.99, 5, 20, 20.01)] == ["none", "none", "2+", "2+", "3+"]
    assert [grade_of("anisocytosis", p) for p in (10.9, 11, 20, 20.1)] == ["none", "2+", "2+", "3+"]
    assert [grade_of("sickle_cell", p) for p in (0.9, 1, 2.1)] == ["none", "2+", "3+"]
    assert grade_of("normal_rbc", 90) is None
    assert {row.shape for row in THRESHOLDS} - {"anisocytosis"} <= set(PARENT)
    assert len({row.shape for row in THRESHOLDS}) == len(THRESHOLDS)


def discs(*diameters_px: float) -> list[dict[str, float]]:
    return [{"area_px2": math.pi / 4 * d**2} for d in diameters_px]


def test_sizes_of_discs() -> None:
    rows = [*discs(*np.repeat([30.0, 36.0, 42.0], 10)), *many(3, area_px2=9000, cells_in_clump=2)]
    cells = cells_table([*rows, {"area_px2": 9000, "at_border": True}, {"area_px2": 9000, "counted": 2}])
    made = sizes(cells, fields_table(cells), um(0.2), DRAWING)
    assert made.cells == 30
    assert made.diameter is not None and made.area is not None
    assert (made.diameter.unit, made.area.unit) == ("um", "um2")
    sd = float(np.std(np.repeat([6, 7.2, 8.4], 10), ddof=1))
    assert (made.diameter.mean, made.diameter.sd) == (pytest.approx(7.2), pytest.approx(sd))
    assert made.diameter.cv_percent == pytest.approx(100 * sd / 7.2)
    assert (made.diameter.p5, made.diameter.median, made.diameter.p95) == pytest.approx((6, 7.2, 8.4))
    assert made.area.median == pytest.approx(math.pi / 4 * 7.2**2)
    assert sum(made.diameter.bin_cells) == 30 and len(made.diameter.bin_edges) == len(made.diameter.bin_cells) + 1


def test_small_and_large_cells_are_told_by_um_where_they_are_known_and_by_the_median_else() -> None:
    cells = cells_table(discs(*[20.0] * 4, *[36.0] * 15, *[50.0]))
    by_um = sizes(cells, fields_table(cells), um(0.1), DRAWING)  # 2.0, 3.6 and 5.0 um: all are small
    assert (by_um.microcytes_percent.value, by_um.microcytes_grade) == (pytest.approx(100), "3+")
    by_median = sizes(cells, fields_table(cells), PX, DRAWING)
    assert by_median.diameter is not None and by_median.diameter.unit == "px"
    assert by_median.microcytes_percent.value == pytest.approx(20)
    assert by_median.macrocytes_percent.value == pytest.approx(5)
    assert by_median.anisocytosis_percent.value == pytest.approx(25)
    grades = (by_median.microcytes_grade, by_median.macrocytes_grade, by_median.anisocytosis_grade)
    assert grades == ("2+", "none", "3+")
    assert "not known" in by_median.size_limits and "um" in by_um.size_limits


def test_smears_of_two_magnifications_are_compared_by_their_medians() -> None:
    rows = [
        *({"smear": "a", **row} for row in discs(*[36.0] * 15)),
        *({"smear": "b", **row} for row in discs(*[90.0] * 15)),
    ]
    cells = cells_table(rows)
    scales = PX | {"b": Scale(cell_px=90, origin="measured", confidence=0.8)}
    made = sizes(cells, fields_table(cells, [("a", "0_0"), ("b", "0_0")]), scales, DRAWING)
    assert made.diameter is not None
    assert (made.diameter.unit, made.diameter.cv_percent) == ("of_median", pytest.approx(0, abs=1e-9))


def test_few_cells_have_no_distribution() -> None:
    cells = cells_table(many(19))
    made = sizes(cells, fields_table(cells), PX, DRAWING)
    assert (made.cells, made.diameter, made.anisocytosis_grade) == (19, None, None)
    assert sizes(cells.iloc[:0], fields_table(cells), PX, DRAWING).microcytes_percent.value is None


def test_platelets_per_field_per_red_cells_and_per_microlitre() -> None:
    spots = [*many(3, label="platelet", area_px2=50), *many(1, label="platelet", area_px2=151)]
    cells = cells_table([*many(200), *spots, *many(2, label="platelet", area_px2=50, cells_in_clump=2, tile="1_0")])
    made = platelets(cells, fields_table(cells, [("a", "0_0"), ("a", "1_0")]), DRAWING)
    assert (made.platelets, made.red_cells, made.fields) == (6, 200, 2)
    assert (made.per_field.value, made.per_1000_red_cells.value) == (3, pytest.approx(30))
    assert made.per_ul.value == pytest.approx(0.03 * RBC_PER_UL)
    assert (made.clumped, made.oversized, made.rbc_per_ul_given) == (2, 1, False)
    assert made.note.startswith("3 of 6 platelets")
    given = platelets(cells, fields_table(cells, [("a", "0_0"), ("a", "1_0")]), DRAWING, 4e6)
    assert (given.per_ul.value, given.rbc_per_ul_given) == (pytest.approx(0.03 * 4e6), True)
    none = platelets(cells.iloc[:0], fields_table(cells), DRAWING)
    assert (none.per_field.value, none.per_ul.value, none.note) == (0, None, "")


def test_a_red_cell_is_as_wide_as_a_normal_one() -> None:
    assert cell_px_at(0.2) == pytest.approx(RED_CELL_UM / 0.2)
