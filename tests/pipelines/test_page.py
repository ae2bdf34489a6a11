"""The page of `make app` with strangers before it: limits, queues, names of files, and what stays at its end."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blood_kedro import page_limits
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.page_example import example_field
from blood_kedro.page_lanes import Lane, PageError, Tell
from tests.conftest import copy_project
from tests.fixtures.slides import write_svs
from tests.pipelines.browser import browser_page, free_port, wait_for
from tests.pipelines.runs import environment


def tiff_of_nothing(file: Path, side_px: int) -> None:
    """A header of a few bytes that promises a picture of any size."""
    tags = ((256, side_px), (257, side_px), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 1))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    file.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))


def test_small_pictures_do_not_wait_among_large_ones(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "small.png")
    Image.new("1", (4000, 3000)).save(tmp_path / "large.png")
    assert not page_limits.check(tmp_path / "small.png")
    assert page_limits.check(tmp_path / "large.png")


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path: Path, name: str) -> None:
    tiff_of_nothing(tmp_path / name, 100_000)
    with pytest.raises(BadInputError, match="10,000 million"):
        page_limits.check(tmp_path / name)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_limits, "MOST_MB", 0.001)
    np.random.default_rng(0).integers(0, 256, 2000, np.uint8).tofile(tmp_path / "a.png")
    with pytest.raises(BadInputError, match="larger than this page takes"):
        page_limits.check(tmp_path / "a.png")


def test_a_slide_may_be_as_large_as_slides_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = write_svs(tmp_path / "slide.svs", np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8))
    monkeypatch.setattr(page_limits, "MOST_MB", 0.001)
    monkeypatch.setattr(page_limits, "MOST_PIXELS", 1000)
    assert page_limits.check_all([slide])  # it waits among the large ones, however small
    monkeypatch.setattr(page_limits, "MOST_SLIDE_MB", slide.stat().st_size * 1.5 / 1e6)
    assert page_limits.check(slide)
    with pytest.raises(BadInputError, match="the pictures together are larger than this page takes"):
        page_limits.check_all([slide, slide])
    monkeypatch.setattr(page_limits, "MOST_SLIDE_MB", 0.001)
    with pytest.raises(BadInputError, match="the file is larger than this page takes"):
        page_limits.check(slide)


def test_a_file_without_a_header_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0nonsense")
    assert page_limits.pixels_of_header(tmp_path / "a.tif") is None
    assert page_limits.check(tmp_path / "a.tif")


def job(what: str, tell: Tell | None = None) -> str:
    """What a lane does in these tests."""
    if tell is not None:
        tell(0.5, f"half of {what}")
    if what == "sleep":
        time.sleep(60)
    if what == "die":
        signal.raise_signal(signal.SIGKILL)
    if what == "fail":
        raise ZeroDivisionError("by nothing")
    return f"done: {what}"


def test_a_job_that_does_not_end_or_dies_is_said_and_the_next_one_is_done() -> None:
    lane = Lane("small", 20, job)
    try:
        assert lane.run("a") == "done: a"
        lane.most_s = 0.5
        with pytest.raises(PageError, match="given up after"):
            lane.run("sleep")
        lane.most_s = 20
        with pytest.raises(PageError, match="died"):
            lane.run("die")
        with pytest.raises(PageError, match="ZeroDivisionError: by nothing"):
            lane.run("fail")
        assert lane.run("b") == "done: b"
    finally:
        lane.close()


def test_a_job_tells_how_far_it_is() -> None:
    lane, said = Lane("small", 60, job), []
    try:
        answer = lane.run("a", tell=lambda share, what: said.append((share, what)))
        assert (answer, said) == ("done: a", [(0.5, "half of a")])
        assert lane.run("b") == "done: b"
        assert len(said) == 1
    finally:
        lane.close()


def test_one_lane_does_not_wait_for_the_other() -> None:
    large, small = Lane("large", 60, job), Lane("small", 60, job)
    try:
        assert small.run("first") == "done: first"

        def run_long() -> None:
            with pytest.raises(PageError):
                large.run("sleep")

        busy = threading.Thread(target=run_long)
        busy.start()
        began = time.monotonic()
        assert small.run("second") == "done: second"
        assert time.monotonic() - began < 5
        assert busy.is_alive()
    finally:
        while large._process is None or large._process.pid is None:
            time.sleep(0.05)
        large._process.kill()
        busy.join(30)
        small.close()
        large.close()


def test_more_than_ten_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane("small", 20, job)
    monkeypatch.setattr(lane, "_jobs", page_limits.MOST_WAITING + 1)
    with pytest.raises(PageError, match="waiting already"):
        lane.run("a")


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """A served page: its address, its process, and the folder for temporary files."""
    folder, temporary, port = copy_project(tmp_path / "project"), tmp_path / "temporary", free_port()
    temporary.mkdir()
    settings = {**environment(), "BLOOD_KEDRO_APP_PORT": str(port), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    log = tmp_path / "page.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "blood_kedro.page"]
        process = subprocess.Popen(command, cwd=folder, env=settings, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log, 240)
            yield f"http://127.0.0.1:{port}", process, temporary
        finally:
            process.kill()
            process.wait(60)


@pytest.mark.slow
def test_names_are_text_failures_are_said_and_nothing_stays(page: Any, tmp_path: Path) -> None:
    url, process, temporary = page
    bad = tmp_path / "<img src=x onerror=alert(1)>'\".png"
    bad.write_text("nonsense")
    good = tmp_path / "<img src=x onerror=alert(1)>.png"
    shutil.copy(example_field(tmp_path / "example"), good)
    with browser_page() as seen:
        said: list[str] = []
        seen.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        seen.page.goto(url)
        seen.page.wait_for_selector("#look")
        seen.page.get_by_text("Limits of this page").first.wait_for(state="attached", timeout=90_000)
        seen.page.click("#look")
        seen.page.get_by_text("choose a picture first").first.wait_for(timeout=60_000)
        seen.page.set_input_files("#pictures input[type=file]", bad)
        seen.page.get_by_label("Remove").or_(seen.page.get_by_label("Clear")).first.wait_for()
        seen.page.click("#look")
        seen.page.get_by_text("no image to count").first.wait_for(timeout=240_000)
        assert str(temporary) not in seen.page.inner_text("body")
        seen.page.get_by_label("Remove").or_(seen.page.get_by_label("Clear")).first.click()
        seen.page.set_input_files("#pictures input[type=file]", good)
        seen.page.get_by_label("Remove").or_(seen.page.get_by_label("Clear")).first.wait_for()
        seen.page.click("#look")
        seen.page.wait_for_selector("#viewer .thumb", timeout=240_000)
        assert seen.page.locator("img[src=x]").count() == 0
        assert said == []
    assert list(temporary.rglob("*.png"))
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert [each for each in temporary.rglob("*") if each.name.startswith("blood-kedro")] == []
    assert list(temporary.rglob("*.png")) == []


@pytest.mark.slow
def test_a_page_whose_port_is_taken_says_which_variable_moves_it(page: Any, tmp_path: Path) -> None:
    url, _, _ = page
    port = url.rpartition(":")[2]
    settings = {**environment(), "BLOOD_KEDRO_APP_PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "blood_kedro.page"],
        cwd=tmp_path / "project",
        env=settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "make app PORT=" in done.stderr
    assert "Traceback" not in done.stderr
