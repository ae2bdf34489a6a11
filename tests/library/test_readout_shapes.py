"""Shapes of red cells, corrected for mistakes that are known: the truth comes back."""

from __future__ import annotations

import numpy as np
import pytest

from blood_kedro.library.core.errors import DataContractError, UnknownLabelError
from blood_kedro.library.readout.confusion import Mistakes, corrected_shares, mistakes_of, true_shares
from blood_kedro.library.readout.intervals import Drawing, wilson_limits
from blood_kedro.library.readout.shapes import shapes
from blood_kedro.library.shipped.type_figures import at_threshold
from tests.fixtures.readout import cells_table, fields_table, many

DRAWING = Drawing(resamples=200, seed=0)
CLASSES = ("normal_rbc", "schistocyte", "target_cell")
# Of 1,000 labelled cells of each: 2% of normal cells are taken for schistocytes.
ANSWERS = np.array([[960.0, 20, 20], [100, 850, 50], [30, 10, 960]])
MISTAKES = Mistakes(CLASSES, ANSWERS, np.ones(3), "3,000 labelled cells")


def test_true_shares_come_back_from_a_known_table_of_mistakes() -> None:
    truth = np.array([0.9, 0.03, 0.07])
    known = ANSWERS / 1000
    found = true_shares((truth @ known)[None] * 5000, known, np.ones(3))
    assert found[0] == pytest.approx(truth, abs=1e-4)
    # What a third of schistocytes are not answered for is missing among the answers, and is put back.
    answered = np.array([1.0, 2 / 3, 1.0])
    seen = (truth * answered) @ known
    assert true_shares(seen[None], known, answered)[0] == pytest.approx(truth, abs=1e-4)
    assert np.isnan(true_shares(np.zeros((1, 3)), known, np.ones(3))).all()


def test_shares_stay_between_0_and_1_where_the_inverse_would_not() -> None:
    seen = np.array([[1000.0, 0, 0]])  # fewer schistocytes than normal cells alone are taken for
    assert (np.linalg.solve((ANSWERS / 1000).T, seen[0] / 1000) < 0).any()
    found = true_shares(seen, ANSWERS / 1000, np.ones(3))[0]
    assert found == pytest.approx([1, 0, 0], abs=1e-3)


def test_an_interval_covers_the_truth_and_is_wider_where_mistakes_are_less_known() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.9, 0.03, 0.07])
    cells = np.eye(3)[rng.choice(3, 1000, p=truth @ (ANSWERS / 1000))]
    made = corrected_shares(cells, MISTAKES, DRAWING, "cells")
    for number, share in zip(made, truth, strict=True):
        assert number.low is not None and number.high is not None
        assert number.low <= 100 * share <= number.high
    rough = corrected_shares(cells, Mistakes(CLASSES, ANSWERS / 20, np.ones(3), ""), DRAWING, "cells")
    width, rough_width = ((each[1].high or 0) - (each[1].low or 0) for each in (made, rough))
    assert rough_width > 1.2 * width


def test_a_shape_that_was_never_answered_may_still_be_there() -> None:
    cells = np.eye(3)[[0] * 200]
    never = corrected_shares(cells, MISTAKES, DRAWING, "cells")[1]
    # Wilson's limit of 0 of 200 is 1.88%; of schistocytes 85% are recognised.
    assert (never.value, never.low, never.method) == (0, 0, "wilson")
    assert never.high == pytest.approx(100 * wilson_limits(0, 200)[1] / 0.85)


def shaped(normal: int, schistocytes: int, **others: int):
    rows = [*many(normal, type="normal_rbc"), *many(schistocytes, type="schistocyte")]
    return cells_table([*rows, *(row for name, n in others.items() for row in many(n, type=name.replace("_", " ")))])


def test_raw_and_corrected_percent_and_grade() -> None:
    cells = shaped(980, 20, other=100)
    cells = cells_table([*cells.to_dict("records"), *many(5, type="schistocyte", at_border=True), *many(7)])
    made = shapes(cells, fields_table(cells), MISTAKES, DRAWING)
    assert (made.whole_cells, made.named, made.unsure, made.not_named) == (1107, 1000, 100, 7)
    row = made.shapes[1]
    assert (row.shape, row.icsh_name, row.cells) == ("schistocyte", "schistocytes", 20)
    assert row.percent.value == pytest.approx(2)
    # All twenty are what the classifier makes of normal cells.
    assert row.percent_corrected is not None and row.percent_corrected.value == pytest.approx(0, abs=0.05)
    assert made.schistocytes_per_1000.value == pytest.approx(20)
    assert made.schistocytes_per_1000_corrected is not None
    assert made.schistocytes_per_1000_corrected.value == pytest.approx(10 * row.percent_corrected.value)
    assert row.grade_low in ("none", "1+") and row.grade in ("none", "1+")
    assert made.shapes[0].grade is None and made.shapes[0].icsh_name is None
    assert made.correction == "corrected by the answers to 3,000 labelled cells"


@pytest.mark.parametrize(("number", "sufficient"), [(999, False), (1000, True)])
def test_schistocytes_are_told_of_a_thousand_red_cells(number: int, sufficient: bool) -> None:
    cells = shaped(number, 0)
    made = shapes(cells, fields_table(cells), MISTAKES, Drawing(resamples=0))
    assert made.sufficient is sufficient
    assert made.reason == ("" if sufficient else "insufficient: 999 of 1,000 red cells")


def test_where_a_correction_is_not_possible_it_is_said_and_the_raw_percent_is_graded() -> None:
    cells = shaped(70, 30)
    same = Mistakes(CLASSES, np.array([[500.0, 500, 0], [500, 500, 0], [0, 0, 1000]]), np.ones(3), "")
    blind = shapes(cells, fields_table(cells), same, DRAWING)
    assert blind.shapes[1].percent_corrected is None and blind.schistocytes_per_1000_corrected is None
    assert blind.correction == "not corrected: the classifier's answers do not tell all shapes apart"
    assert (blind.shapes[1].percent.value, blind.shapes[1].grade) == (pytest.approx(30), "3+")
    rare = Mistakes(CLASSES, np.diag([100.0, 9, 100]), np.ones(3), "")
    assert "fewer than 10 cells of schistocyte" in shapes(cells, fields_table(cells), rare, DRAWING).correction
    unlike = shaped(4, 1, other=6)
    assert "unsure of 6 of 11 cells" in shapes(unlike, fields_table(unlike), MISTAKES, DRAWING).correction
    nothing = shapes(cells.iloc[:0], fields_table(cells), MISTAKES, DRAWING)
    assert nothing.correction == "not corrected: no red cell has a shape"
    assert (nothing.shapes[0].percent.value, nothing.shapes[1].grade) == (None, None)


def test_a_shape_that_the_classifier_does_not_know_is_an_error() -> None:
    cells = cells_table(many(3, type="teardrop"))
    with pytest.raises(UnknownLabelError, match="teardrop"):
        shapes(cells, fields_table(cells), MISTAKES, DRAWING)


def test_mistakes_are_read_from_the_config_of_a_classifier() -> None:
    confusion = [[8, 2], [1, 9]]
    test_part = {"classes": ["a", "b"], "figures": {"test": {"chula": {"confusion": confusion}}}}
    of_all = mistakes_of(test_part)
    assert of_all.answers.tolist() == confusion and of_all.answered.tolist() == [1, 1]
    assert "20 labelled cells of chula" in of_all.basis and "assumed" in of_all.basis
    truth, answer = np.repeat([0, 1], 10), np.array([0] * 6 + [1] + [0] * 3 + [1] * 10)
    sureness = np.array([0.9] * 7 + [0.6] * 3 + [0.9] * 9 + [0.6])
    probabilities = np.where(np.arange(2) == answer[:, None], sureness[:, None], 1 - sureness[:, None])
    sure = at_threshold(np.log(probabilities), np.arange(2) == truth[:, None], 0.8)
    assert sure["confusion"] == [[6, 1, 3], [0, 9, 1]]
    of_sure = mistakes_of({"classes": ["a", "b"], "figures": {"answered_at_threshold": sure}})
    assert of_sure.answers.tolist() == [[6, 1], [0, 9]]
    assert of_sure.answered == pytest.approx([0.7, 0.9])
    assert of_sure.basis == "20 labelled cells, of which 16 were answered"
    with pytest.raises(DataContractError, match="takes for what"):
        mistakes_of({"classes": ["a"], "figures": {}})
    with pytest.raises(DataContractError, match="does not fit"):
        mistakes_of({"classes": ["a", "b", "c"], "figures": {"test": {"x": {"confusion": confusion}}}})
