"""The walk of a new user in a real browser: from pictures to a corrected read-out and a model that learnt from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from blood_kedro.commands.front import main
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions
from tests.fixtures.slides import write_svs
from tests.pipelines.browser import Page, browser_page, free_port, serving
from tests.pipelines.runs import environment

pytestmark = pytest.mark.slow

SECONDS_MS = 600_000


@pytest.fixture(scope="module")
def five(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A picture of each of five laboratories."""
    folder = tmp_path_factory.mktemp("five")
    of_txl_pbc = sorted((shared_data / "txl_pbc/images/train").iterdir())
    pictures = {
        "bccd": shared_data / "bccd/BCCD/JPEGImages/BloodImage_00034.jpg",
        "chula": shared_data / "chula/Dataset/100.jpg",
        "ojaghi": shared_data / "ojaghi/grid_images/4_8.png",
        "pbc": sorted((shared_data / "pbc/PBC_dataset_normal_DIB/monocyte").iterdir())[5],
        "raabin": next(file for file in of_txl_pbc if Image.open(file).size == (575, 575)),
    }
    files = [folder / f"{name}{picture.suffix}" for name, picture in pictures.items()]
    for file, picture in zip(files, pictures.values(), strict=True):
        file.write_bytes(picture.read_bytes())
    return files


@pytest.fixture(scope="module")
def photo(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a phone takes through an eyepiece, smaller: two fields, enlarged, as one JPEG of 2048 x 3072 px."""
    fields = [cv2.imread(str(shared_data / f"chula/Dataset/{number}.jpg")) for number in (101, 102)]
    file = tmp_path_factory.mktemp("photo") / "photo.jpg"
    cv2.imwrite(str(file), cv2.resize(np.vstack(fields), (2048, 3072), interpolation=cv2.INTER_CUBIC))
    return file


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of a generated field at 0.25 um per pixel."""
    cells = {"normal_rbc": 200, "teardrop": 10, "neutrophil": 3, "lymphocyte": 3, "platelet": 15}
    options = SmearOptions(fields_per_slide=1, width_px=1100, height_px=700, px_per_um=4, cells_per_field=cells)
    return write_svs(tmp_path_factory.mktemp("slide") / "slide.svs", simulate_field(options, 5, 1, 1).rgb)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of the app, and the folder that it was started in, which is no project."""
    folder, port = tmp_path_factory.mktemp("app"), str(free_port())
    command = [sys.executable, "-c", "from blood_kedro.commands.front import main; main()", "app", "--port", port]
    with serving(command, f"http://127.0.0.1:{port}", folder, {**environment(), "OMP_NUM_THREADS": "1"}):
        yield f"http://127.0.0.1:{port}", folder


def ask(page: Any, url: str, files: Sequence[Path]) -> None:
    """Open the app, drop files into it, and press Read out."""
    page.goto(url)
    page.wait_for_selector("#look")
    page.set_input_files("#pictures input[type=file]", [str(file) for file in files])
    page.locator("#pictures .filename").nth(len(files) - 1).wait_for()
    page.click("#look")


def wait_for_answer(page: Any) -> None:
    page.wait_for_selector("#viewer .thumb", timeout=SECONDS_MS)


def counted(page: Any) -> dict[str, int]:
    """What the page counts of each kind."""
    kinds = ("rbc", "wbc", "platelet")
    words = {kind: page.locator(f"#viewer label.{kind}").inner_text().split()[0] for kind in kinds}
    return {kind: int(word.replace(",", "")) for kind, word in words.items()}


def choose(page: Any, what: str, value: str) -> None:
    page.locator(f"#viewer select[aria-label='{what}']").select_option(value)


def key_of(page: Any, name: str) -> str:
    """The key that names the chosen cell so."""
    button = page.locator("#viewer .choices button").filter(has_text=name).first
    return str(button.locator("kbd").inner_text())


def save(page: Any, corrections: int, state: str = "not saved yet") -> None:
    """Save what was corrected since the last time."""
    page.locator("#viewer .saver").get_by_text(state).wait_for()
    page.click("#viewer .save")
    noun = "correction" if corrections == 1 else "corrections"
    page.locator("#saved").get_by_text(f"{corrections} {noun} saved in").wait_for(timeout=60_000)
    assert page.locator("#viewer .saver button").nth(1).is_disabled()  # nothing is left to undo


def name_shapes(page: Any, picture: str, cells: int) -> None:
    """So many red cells of a picture, unsure ones first, are named in turn by keys."""
    choose(page, "picture", picture)
    choose(page, "which cells", "rbc")
    page.locator("#viewer .thumb").first.click()
    keys = [key_of(page, name) for name in ("normal rbc", "normal rbc", "target cell")]
    for number in range(cells):
        page.keyboard.press(keys[number % len(keys)])
    choose(page, "which cells", "")


def test_from_pictures_of_five_laboratories_to_a_model_that_learnt(
    app: tuple[str, Path], five: list[Path], photo: Path, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = app
    with browser_page() as seen:
        page = seen.page
        ask(page, url, five)
        wait_for_answer(page)
        assert "of 5 pictures are fit for counting" in page.locator("#first .verdict").inner_text()
        names = page.locator("#viewer select[aria-label=picture] option").all_inner_texts()
        assert names == [file.stem for file in five]
        shown = [page.locator("#pictures .filename").nth(k).inner_text().replace("\n", "") for k in range(5)]
        assert [text.replace(" ", "") for text in shown] == [file.name for file in five]
        before = counted(page)
        assert before["rbc"] > 150
        assert 3 <= before["wbc"] <= 12
        choose(page, "picture", "chula")
        outlines, thumbs = page.locator("#viewer svg.stage path").count(), page.locator("#viewer .thumb").count()
        assert outlines == thumbs > 40

        # One cell by a click, one by a key; counts follow at once.
        choose(page, "which cells", "rbc")
        page.locator("#viewer svg.stage path.rbc").nth(3).click()
        assert page.locator("#viewer path.selected").count() == 1
        page.locator("#viewer .choices button").filter(has_text="lymphocyte").first.click()
        assert counted(page) == {**before, "rbc": before["rbc"] - 1, "wbc": before["wbc"] + 1}
        assert "lymphocyte" in page.locator("#viewer .tally").inner_text()
        page.locator("#viewer .thumb").first.click()
        page.keyboard.press("Delete")
        assert counted(page) == {**before, "rbc": before["rbc"] - 2, "wbc": before["wbc"] + 1}
        save(page, 2)
        # So does all that is told of them, in files of their own beside what the models said.
        page.locator("#first").get_by_text("2 cells were looked at by a person.").wait_for()
        assert f"{before['rbc'] - 2:,}" in page.locator("#first").inner_text()
        names_of_files = page.locator("#files .filename").all_inner_texts()
        assert {"cells_corrected.csv", "cells.csv"} <= {name.replace("\n", "") for name in names_of_files}

        name_shapes(page, "chula", 12)
        name_shapes(page, "ojaghi", 12)
        assert counted(page)["rbc"] == before["rbc"] - 2  # other shapes, as many cells
        save(page, 24, "26 corrections, 24 of them not saved yet")
        kept = pd.read_csv(folder / "corrections/pictures.csv")
        assert kept["name"].tolist() == ["chula.jpg", "ojaghi.png"]

        # A photo of a phone and a slide: what is corrected of the slide is kept with its field.
        ask(page, url, [photo, slide])
        wait_for_answer(page)
        assert counted(page)["rbc"] > 250
        choose(page, "picture", "slide")
        page.locator("#viewer .thumb").first.click()
        page.keyboard.press(key_of(page, "monocyte"))
        save(page, 1)
        kept = pd.read_csv(folder / "corrections/pictures.csv").set_index("name")
        assert kept.loc["slide, field 0_0", "smear"] == "slide"
        assert kept.loc["slide, field 0_0", "width_px"] == 1100
        assert seen.errors == []

    monkeypatch.chdir(folder)
    learnt = CliRunner().invoke(main, ["retrain", "corrections", "--model=red_cell_shapes", "--out=retrained"])
    assert learnt.exit_code == 0, learnt.output
    for text in ("before", "after", "normal_rbc", "target_cell", "--models=retrained"):
        assert text in learnt.output
    said = json.loads((folder / "retrained/red_cell_shapes/config.json").read_text())["retrained"]
    assert said["judged"]["corrections"]["groups"] == 2
    assert sum(said["corrections"]["cells_by_type"].values()) == 24
    again = CliRunner().invoke(main, ["read-out", str(five[1]), "--models=retrained", "--out=again", "--quiet"])
    assert again.exit_code == 0, again.output
    digests = [json.loads((folder / "again/read_out.json").read_text())["made_with"]["models"]["red_cell_shapes"]]
    assert digests == [json.loads((folder / "retrained/red_cell_shapes/config.json").read_text())["weights_sha256"]]


def test_two_at_once_do_not_wait_nor_see_each_other(app: tuple[str, Path], five: list[Path], photo: Path) -> None:
    url, _ = app
    small = five[1]
    with browser_page() as seen:
        other = Page(seen.page.context.browser.new_context().new_page())
        ask(seen.page, url, [photo])
        seen.page.locator("#first").get_by_text("width of its red cells").first.wait_for(timeout=SECONDS_MS)
        ask(other.page, url, [small])
        wait_for_answer(other.page)
        assert seen.page.locator("#viewer .thumb").count() == 0, "the large picture was done first"
        wait_for_answer(seen.page)
        for page, mine, theirs in ((seen.page, photo, small), (other.page, small, photo)):
            assert mine.stem in page.locator("#viewer svg.stage").get_attribute("aria-label")
            assert theirs.name not in page.content()
            assert files_of(page)
        assert not set(files_of(seen.page)) & set(files_of(other.page))
        assert seen.errors == other.errors == []


def files_of(page: Any) -> list[str]:
    """Addresses of the results that a page offers."""
    return [str(link) for link in page.locator("#files a").evaluate_all("links => links.map(link => link.href)")]
