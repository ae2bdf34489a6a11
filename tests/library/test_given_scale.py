"""A scale that somebody gives is compared with what cells look like, by `blood-kedro` and by `kedro run` alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blood_kedro.assembly import scale
from blood_kedro.assembly.scale import check_given_in, scale_of
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.shipped.scale import FoundScale
from blood_kedro.pipelines.sam_counting import nodes


@pytest.fixture
def smear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smear:
    """A picture whose red cells look 36 px wide."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 60, 3), 220, np.uint8))
    monkeypatch.setattr(scale, "found_scale", lambda _smear: FoundScale(36.0, 0.8))
    (opened,) = open_smears([tmp_path / "a.png"], 512, 0, tmp_path / "work", RejectLog("t"))
    return opened


def settings(**more: object) -> SmearInput:
    return SmearInput.model_validate({"name": "own", "path": "a.png", **more})


@pytest.mark.parametrize(
    ("given", "said"),
    [({"cell_px": 70}, "70 px wide"), ({"cell_px": 23}, "23 px wide"), ({"px_per_um": 2}, "0.5 um per pixel")],
    ids=["too wide", "too narrow", "micrometres"],
)
def test_a_scale_that_is_far_from_what_cells_look_like_is_refused_with_both(given, said: str, smear: Smear) -> None:
    measured = "px_per_um" in given
    with pytest.raises(BadInputError) as refused:
        check_given_in(settings(measure_scale=measured, **given), [smear])
    assert said in refused.value.got
    assert "look 36 px wide" in refused.value.got
    um = 1 / given["px_per_um"] if measured else None
    with pytest.raises(BadInputError) as also:  # as the command says it
        scale_of(smear, given.get("cell_px"), um, None)
    assert (also.value.what, also.value.got) == (refused.value.what, refused.value.got)


@pytest.mark.parametrize("given", [{"cell_px": 50}, {"cell_px": 25}, {"cell_px": 36, "px_per_um": 5}])
def test_a_scale_that_is_near_is_taken(given, smear: Smear) -> None:
    check_given_in(settings(**given), [smear])


def test_nothing_is_looked_at_where_nothing_is_given(smear: Smear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "found_scale", None)
    check_given_in(settings(measure_scale=True, cell_px=900), [smear])


def test_few_of_many_smears_are_looked_at(smear: Smear, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Smear] = []
    monkeypatch.setattr(scale, "found_scale", lambda each: looked_at.append(each) or FoundScale(36.0, 0.8))
    check_given_in(settings(cell_px=40), [smear] * 100)
    assert len(looked_at) == 9


def test_a_pipeline_refuses_it_before_anything_is_begun(smear: Smear, tmp_path: Path) -> None:
    options = settings(path=str(tmp_path / "a.png"), cell_px=70)
    with pytest.raises(BadInputError, match="not that of the picture"):
        nodes.open_smears(options, tmp_path / "work")
