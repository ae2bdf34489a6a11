"""README's lines to a first result, walked as a newcomer does: what it shows is what the command gives."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from blood_kedro.commands.front import main
from tests.conftest import PROJECT
from tests.pipelines.browser import browser_page

pytestmark = pytest.mark.slow
COMMAND = re.compile(r"^\.venv/bin/blood-kedro (read-out \S+)", re.MULTILINE)
COUNTS = re.compile(r"(\d+) red cells, (\d+) white cell, (\d+) platelets; fit for counting")


def test_the_command_of_the_readme_gives_its_picture(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    tutorial = (PROJECT / "docs/tutorials/read_out.md").read_text(encoding="utf-8")
    commands = COMMAND.findall(readme)
    assert len(commands) == 1 and commands[0] in tutorial
    name, picture = shlex.split(commands[0])
    shutil.copyfile(shared_data / "bccd/BCCD/JPEGImages" / picture, tmp_path / picture)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [name, picture])
    assert done.exit_code == 0, done.output
    line, *_, address = done.output.strip().splitlines()
    assert line in tutorial, "the models have changed: take the picture of README and the tutorial's text again"
    counts = COUNTS.search(line)
    assert counts and "fit for counting, {} red cells, {} white cell, {} platelets".format(*counts.groups()) in readme
    with browser_page() as seen:
        seen.page.goto(Path(address).as_uri())
        seen.page.locator("#viewer .thumb").first.wait_for()
        shown = seen.page.locator("body").inner_text()
        assert "Fit for counting" in shown
        assert [f"\n{number}\n" in shown for number in counts.groups()] == [True, True, True]
        assert seen.errors == []
