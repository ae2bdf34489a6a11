"""Spoiled files of every kind: kept or rejected, never lost; no error but ours; nothing written outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.readers import TARGETS
from tests.attack.run import run

EACH = 14


@pytest.mark.slow
@pytest.mark.parametrize("target", [each.name for each in TARGETS])
def test_a_spoiled_file_is_kept_or_rejected(target: str, tmp_path: Path) -> None:
    tried = run(EACH, 1, tmp_path, [target])
    assert not [(each.way, each.file, each.fault) for each in tried if each.fault]
    assert len({each.way for each in tried}) > 3
