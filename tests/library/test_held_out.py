"""Counts are judged on images that no model of theirs learnt from."""

from __future__ import annotations

import pandas as pd
import pytest

from blood_kedro.library.core.errors import ConfigurationError, DataContractError
from blood_kedro.library.core.groups import Groups, all_learnt_from
from blood_kedro.library.counting.score.held_out import held_out

INDEX = pd.DataFrame(
    {"image_id": [f"s/{n}" for n in "abcd"], "path": [f"images/{n}.jpg" for n in "abcd"], "source": "s"}
)
# b is a copy of a.
GROUPS = Groups({"s/a": "s/a", "s/b": "s/a", "s/c": "s/c", "s/d": "s/d"}, {"s/a": "train", "s/c": "test", "s/d": "val"})


def test_images_that_a_model_learnt_from_and_their_copies_do_not_judge() -> None:
    judges = held_out(INDEX, GROUPS, [{"learnt_from": ["s/a", "elsewhere/x"]}, {"learnt_from": ["s/d"]}], "count")
    assert judges.names == {"c"}
    assert judges.facts == {"images": 1, "left_out": 3, "parts": {"test": 1}}
    everything = held_out(INDEX, GROUPS, [], "count")
    assert everything.facts == {"images": 4, "left_out": 0, "parts": {"test": 1, "train": 2, "val": 1}}


def test_what_cannot_judge_is_said() -> None:
    with pytest.raises(ConfigurationError, match="no image is left"):
        held_out(INDEX, GROUPS, [{"learnt_from": ["s/a", "s/c", "s/d"]}], "count")
    with pytest.raises(ConfigurationError, match="does not say which images it learnt from"):
        held_out(INDEX, GROUPS, [{"name": "old"}], "count")
    with pytest.raises(DataContractError, match="not in the table of groups"):
        held_out(INDEX.assign(image_id=list("wxyz")), GROUPS, [], "count")


def test_a_fine_tuned_model_has_seen_what_its_start_has() -> None:
    assert all_learnt_from(["s/c", "s/a"], {"learnt_from": ["s/b"]}) == ["s/a", "s/b", "s/c"]
    assert all_learnt_from(["s/c"], None) == ["s/c"]
    assert all_learnt_from(["s/c"], {}) is None  # nobody knows
