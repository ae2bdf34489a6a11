"""The command `blood-kedro`: what it writes, what it says, and that its errors are words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result
from PIL import Image

import blood_kedro
from blood_kedro.commands.front import main
from blood_kedro.commands.outputs import checked_folder, work_beside
from blood_kedro.library.core.errors import BadInputError, OutputError


@pytest.fixture(scope="module")
def fields(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real fields of two laboratories, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("fields")
    shutil.copy(shared_data / "chula/Dataset/100.jpg", folder / "a, b.jpg")
    shutil.copy(shared_data / "bccd/BCCD/JPEGImages/BloodImage_00034.jpg", folder / "second.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def read_out(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("out") / "read_out"
    return invoke("read-out", fields, "--out", folder), folder


def test_a_read_out_says_what_it_found_and_ends_with_its_page(read_out: tuple[Result, Path]) -> None:
    done, folder = read_out
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[-1] == str(folder / "index.html")
    assert lines[0].startswith("a, b: ") and "red cells" in lines[0]
    assert any(line.startswith("broken.jpg: not an image") for line in lines)
    assert "not a medical device" in done.output.lower()
    assert not (folder.parent / ".read_out.work").exists()


def test_all_parts_of_a_read_out_give_one_number(read_out: tuple[Result, Path]) -> None:
    _, folder = read_out
    cells, counts = (pd.read_csv(folder / name) for name in ("cells.csv", "counts.csv"))
    figures = json.loads((folder / "read_out.json").read_text())
    coco = json.loads((folder / "coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    page = (folder / "index.html").read_text()
    assert names.keys() == {1, 2} and set(names.values()) == {"a, b.jpg", "second.jpg"}
    for picture in figures["pictures"]:
        mine = cells[cells["smear"] == picture["name"]]
        row = counts.set_index("picture").loc[picture["name"]]
        labels = tifffile.imread(folder / f"masks/{picture['name']}_labels.tif")
        contours = json.loads((folder / f"masks/{picture['name']}.geojson").read_text())["features"]
        assert len(mine) == len(contours) and set(np.unique(labels)) - {0} <= set(mine["cell"])
        assert sum(names[each["image_id"]] == picture["file"] for each in coco["annotations"]) == len(mine)
        for kind in ("rbc", "wbc", "platelet"):
            assert picture["cells"][kind]["value"] == (mine["label"] == kind).sum() == row[kind]
        white = picture["differential"]
        assert white["white_cells"] + white["erythroblasts"] == row["wbc"]
        assert row["verdict"] == picture["verdict"]["line"]
    together = figures["together"]["cells"]
    assert together["rbc"]["value"] == (cells["label"] == "rbc").sum()
    viewer = json.loads(re.search('id="cells">(.*?)</script>', page)[1])
    shown = [cell for picture in viewer["pictures"] for cell in picture["cells"]]
    assert [each["label"] for each in shown] == cells["label"].tolist()
    assert all(each["d"].startswith("M") for each in shown)
    assert f"<b>{together['rbc']['value']:,.0f}</b>" in page


def test_cells_are_ranked_by_how_sure_their_types_are(read_out: tuple[Result, Path]) -> None:
    page = (read_out[1] / "index.html").read_text()
    for picture in json.loads(re.search('id="cells">(.*?)</script>', page)[1])["pictures"]:
        by_rank = sorted(picture["cells"], key=lambda cell: cell["rank"])
        assert [cell["rank"] for cell in by_rank] == list(range(len(by_rank)))
        named = [cell["sureness"] for cell in by_rank if cell["label"] == "rbc" and cell["type"] == "other"]
        assert named == sorted(named)


def test_a_count_shows_no_more_than_counts(fields: Path, tmp_path: Path) -> None:
    done = invoke("count", fields / "second.jpg", "--out", tmp_path / "count", "--no-types", "--quiet")
    assert done.output.splitlines() == [str(tmp_path / "count/index.html")]
    assert "Sizes of red cells" not in (tmp_path / "count/index.html").read_text()
    assert "type" not in pd.read_csv(tmp_path / "count/cells.csv")


def test_detected_cells_are_named(fields: Path, tmp_path: Path) -> None:
    done = invoke("detect", fields / "second.jpg", "--out", tmp_path / "found")
    assert done.exit_code == 0, done.output
    cells = pd.read_csv(tmp_path / "found/cells.csv")
    assert set(cells["label"]) <= {"rbc", "wbc", "platelet"} and len(cells) and cells["type"].notna().all()
    assert done.output.splitlines()[-1] == str(tmp_path / "found/index.html")


def test_a_wrong_width_is_refused_with_both_numbers(fields: Path, tmp_path: Path) -> None:
    done = invoke("count", fields / "a, b.jpg", "--out", tmp_path / "count", "--cell-px", "90")
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert "90 px wide" in done.output and "look 3" in done.output and "what to do" in done.output
    assert not (tmp_path / "count").exists()


def test_a_wrong_width_is_a_reject_of_that_picture_where_there_are_others(fields: Path, tmp_path: Path) -> None:
    done = invoke("detect", fields, "--out", tmp_path / "found", "--cell-px", "41")
    assert done.exit_code == 0, done.output
    assert "second.jpg: the scale that was given is not that of the picture; a red cell is said to be 41" in done.output
    assert set(pd.read_csv(tmp_path / "found/cells.csv")["image"]) == {"a, b"}
    alone = invoke("detect", fields / "second.jpg", "--out", tmp_path / "none", "--cell-px", "41")
    assert alone.exit_code == 1
    assert "is said to be 41 px wide; red cells look 1" in alone.output


def test_a_right_width_is_taken(fields: Path, tmp_path: Path) -> None:
    done = invoke("count", fields / "a, b.jpg", "--out", tmp_path / "count", "--cell-px", "41", "--no-types")
    assert done.exit_code == 0, done.output
    assert pd.read_csv(tmp_path / "count/counts.csv")["origin"].tolist() == ["given"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("count", "missing.png"), "no such path"),
        (("read-out", "."), "no readable image"),
        (("detect", "missing.png"), "no image"),
        (("count", "a.png", "--cell-px", "1"), "range"),
        (("count",), "Missing argument"),
    ],
)
def test_errors_are_words(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*arguments)
    assert done.exit_code in {1, 2} and said in done.output and "Traceback" not in done.output


def test_a_picture_without_cells_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (230, 225, 230)).save(tmp_path / "empty.png")
    done = invoke("count", tmp_path / "empty.png", "--out", tmp_path / "out")
    assert done.exit_code == 1 and "no red cell is found" in done.output and "--cell-px" in done.output
    with pytest.raises(BadInputError, match="no red cell"):
        blood_kedro.read_out(tmp_path / "empty.png")


def test_an_empty_field_of_a_given_width_is_read_out(tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (230, 225, 230)).save(tmp_path / "empty.png")
    read = blood_kedro.read_out(tmp_path / "empty.png", cell_px=40, out=tmp_path / "out")
    assert read.together.cells.rbc.value == 0 and not read.pictures[0].verdict.fit
    assert "too few cells" in read.pictures[0].verdict.line
    assert (tmp_path / "out/index.html").is_file()


def test_the_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years")
    (tmp_path / "file").write_text("x")
    for folder in ("thesis", "file"):
        with pytest.raises(OutputError):
            checked_folder(tmp_path / folder)
    assert (tmp_path / "thesis/chapter.tex").read_text() == "years"
    for name in ("index.html", "cells.csv"):
        (tmp_path / "thesis" / name).write_text("")
    with pytest.raises(OutputError, match=r"chapter\.tex"):  # also beside what an earlier run has left
        checked_folder(tmp_path / "thesis")


def test_what_a_run_leaves_is_replaced_by_the_next(read_out: tuple[Result, Path]) -> None:
    assert checked_folder(read_out[1]) == read_out[1]
    assert {"index.html", "cells.csv", "masks"} <= {path.name for path in read_out[1].iterdir()}


def test_work_is_kept_by_an_error_and_removed_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), work_beside(tmp_path / "out") as work:
        (work / "tile").touch()
        raise KeyboardInterrupt
    with work_beside(tmp_path / "out") as work:
        assert (work / "tile").exists()
    assert not work.exists()


def test_the_front_door_opens_without_what_is_slow() -> None:
    code = (
        "import sys; from blood_kedro.assembly import read_out, own_pictures;"
        "print([m for m in ('kedro', 'mlflow', 'lightning', 'sklearn', 'matplotlib', 'plotly') if m in sys.modules])"
    )
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings)
    assert done.stdout.strip() == "[]"
