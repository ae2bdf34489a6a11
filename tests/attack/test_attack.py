"""Spoiled files of every kind: kept or rejected, never lost; no error but ours; nothing written outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.kills import JOBS, kills
from tests.attack.readers import TARGETS
from tests.attack.run import run

EACH = 14


@pytest.mark.slow
@pytest.mark.parametrize("target", [each.name for each in TARGETS])
def test_a_spoiled_file_is_kept_or_rejected(target: str, tmp_path: Path) -> None:
    tried = run(EACH, 1, tmp_path, [target])
    assert not [(each.way, each.file, each.fault) for each in tried if each.fault]
    assert len({each.way for each in tried}) > 3


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_work_that_was_killed_ends_with_the_same_result(job: str, tmp_path: Path) -> None:
    assert not [(each.moment, each.fault) for each in kills(job, 3, 1, tmp_path) if each.fault]
