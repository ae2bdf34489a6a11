"""What docs/extending.md says of a segmenter and a count rule of one's own is what it takes."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from blood_kedro.assembly import count_rules, segmenters
from blood_kedro.assembly.namers import check_names, parts_of
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import count_pictures
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from tests.library.test_count_smears import PAIR, SPREAD, save, smear

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def example(heading: str) -> list[str]:
    """The blocks of Python below a heading: a module, and a line of a registry."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.S)


@pytest.fixture
def registries() -> Iterator[None]:
    kept = dict(segmenters.SEGMENTERS), dict(count_rules.COUNT_RULES)
    yield
    for registry, was in zip((segmenters.SEGMENTERS, count_rules.COUNT_RULES), kept, strict=True):
        registry.clear()
        registry.update(was)


@pytest.mark.usefixtures("registries")
def test_a_segmenter_and_a_count_rule_are_one_file_and_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for heading, registry in (("A segmenter of smears", segmenters), ("A count rule", count_rules)):
        module, line = example(heading)
        name = f"example_{registry.__name__.rpartition('.')[2]}"
        made = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)  # dataclasses look their module up
        exec(module, vars(made))
        exec(line, {**vars(registry), **vars(made)})
    image = save(tmp_path / "field.png", smear(540, 300, SPREAD + PAIR))
    given = {"segmenter": "darkness", "segmenter_options": {"below": 190}, "count_rule": "floored", "workers": 1}
    options = SmearInput.model_validate({"name": "own", "path": str(image), "resamples": 20, **given})
    check_names(options)
    smears = open_smears([image], options.tile_px, options.overlap_px, tmp_path, RejectLog("t"))
    made_of = count_pictures(smears, options, parts_of(options, None), tmp_path / "work", RejectLog("t"))
    row = made_of.counts.iloc[0]
    assert row["rule"] == "floored"
    assert row["rbc"] == row["rbc_floored"]
    assert row["rbc_instances"] == len(SPREAD) + len(PAIR)
    assert len(SPREAD) <= row["rbc_floored"] <= len(SPREAD) + len(PAIR)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"segmenter": "watershd"}, "(?s)stands for nothing.*write watershed"),
        ({"count_rule": "instance"}, "(?s)stands for nothing.*write instances"),
        ({"segmenter_options": {"below": 3}}, "(?s)cannot be used with these options.*below"),
    ],
)
def test_names_that_nothing_has_are_refused_before_anything_runs(given: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_names(SmearInput.model_validate({"name": "own", "path": "x", **given}))


def test_the_shipped_detector_is_not_judged_by_pictures_that_it_may_have_learnt_from() -> None:
    options = SmearInput.model_validate({"name": "own", "path": "x", "segmenter": "shipped"})
    with pytest.raises(ConfigurationError, match="cannot be judged"):
        segmenters.segmenter_of(options).learnt_from()
    assert segmenters.segmenter_of(options.model_copy(update={"segmenter": "watershed"})).learnt_from() is None
