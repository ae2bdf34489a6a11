"""What a user sees, looked at in a real browser: report, lineage, comparison, the page of the app."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import blood_kedro
from blood_kedro.commands.front import main
from blood_kedro.experiments import LOSSES, page_of
from blood_kedro.library.reporting.headlines import HEADLINE_METRICS
from tests.conftest import PROJECT, copy_project
from tests.pipelines.browser import browser_page, free_port, serving
from tests.pipelines.runs import environment, kedro_run, runs_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (800, "dark"), (390, "light")])
def test_report_fits_and_its_charts_are_drawn(demo: Path, width: int, scheme: str) -> None:
    with browser_page(width, scheme=scheme) as seen:
        seen.page.goto((demo / "data/08_reporting/report.html").as_uri())
        seen.page.wait_for_selector("#chart-count_errors .main-svg", state="attached")
        assert seen.page.locator(".js-plotly-plot").count() == 6
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = seen.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        chart_ink = seen.page.evaluate("document.querySelector('#chart-losses').layout.font.color")
        assert chart_ink == ink != paper
        assert seen.page.locator(".card").count() == 3
        assert seen.page.locator(".badge").inner_text() == "Demo: generated smears"
        assert sorted_by_a_click(seen.page) == ["wbc", "platelet", "rbc"]
        seen.page.locator("nav.contents a[href='#counting']").click()
        seen.page.locator("nav.contents a[href='#counting'][aria-current]").wait_for()
        assert seen.page.locator("nav.contents").bounding_box()["y"] >= 0  # it stays in sight
        with seen.page.expect_download() as download:
            seen.page.locator("a[download='losses.csv']").click()
        table = pd.read_csv(download.value.path())
        assert set(table["regimen"]) == {"regimen_1", "regimen_2"}
        assert seen.errors == []


def sorted_by_a_click(page: Any) -> list[str]:
    """The table of a detector's counts by its second column, fewest cells first: names of its rows."""
    head = page.get_by_role("button", name="cells per image")
    head.click()
    head.click()
    return page.locator("table", has=head).locator("tbody td:first-child").all_inner_texts()


def test_the_report_can_be_sent_by_mail(demo: Path) -> None:
    assert (demo / "data/08_reporting/report.html").stat().st_size < 4_000_000


def test_lineage_shows_every_dataset_with_a_preview(demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(demo, folder, ignore=shutil.ignore_patterns("mlruns*"))
    built = subprocess.run(
        [sys.executable, str(PROJECT / "scripts/viz_site.py"), "site"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    assert "circular" not in built.stdout + built.stderr  # layers are shown
    site = folder / "site"
    assert str(folder) not in "".join(p.read_text() for p in (site / "api").rglob("*") if p.is_file())
    answer = json.loads((site / "api/main").read_text())
    data = {node["name"]: node["id"] for node in answer["nodes"] if node["type"] == "data"}
    previews = {name: json.loads((site / "api/nodes" / number).read_text()) for name, number in data.items()}
    bare = {name for name, node in previews.items() if not node.get("preview")}
    assert len(data) > 100
    # What lives in memory has none.
    assert {name for name in bare if not name.endswith("report_parts")} == {"run_record"}
    url = f"http://127.0.0.1:{free_port()}"
    server = [sys.executable, "-m", "http.server", url.rpartition(":")[2], "--bind", "127.0.0.1", "-d", "site"]
    with serving(server, url, folder, dict(os.environ)), browser_page(1700) as seen:
        seen.page.goto(f"{url}/?pid=__default__&sid={data['unified_images']}")
        seen.page.wait_for_selector(".pipeline-metadata img")
        seen.page.goto(f"{url}/?pid=__default__")
        # Nothing lies over the page: no tour, at the first visit.
        seen.page.locator(".pipeline-node", has_text="unified_index").first.click()  # once it stands still
        seen.page.wait_for_selector(".pipeline-metadata table")
        seen.page.get_by_text("Expand preview").click()
        seen.page.wait_for_selector(".pipeline-metadata-modal table")
        assert seen.page.locator(".pipeline-node").count() > 10
        assert seen.errors == []


def test_regimens_are_compared_in_the_mlflow_ui(demo: Path) -> None:
    runs = {run.info.run_name: run for run in runs_of(demo)}
    first, second = runs["regimen_1"], runs["regimen_2"]
    assert first.data.tags["blood_kedro.kind"] == "detector"
    assert first.data.tags["blood_kedro.environment"] == "base"
    assert {item.dataset.name for item in first.inputs.dataset_inputs} == {"unified, train", "unified, val"}
    assert set(first.data.metrics) >= {"train_loss", "val_loss", "lr", "val_map", "val_map_50", "val_mar_100"}
    assert set(first.data.metrics) == set(second.data.metrics)
    assert set(runs["demo"].data.metrics) == set(HEADLINE_METRICS)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--port",
        url.rpartition(":")[2],
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{demo / 'mlruns.db'}",
    ]
    settings = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    chosen = json.dumps([first.info.run_id, second.info.run_id])
    with serving(command, f"{url}/health", demo, settings), browser_page(1700) as seen:
        experiment = first.info.experiment_id
        seen.page.goto(f'{url}/#/compare-runs?runs={chosen}&experiments=["{experiment}"]')
        seen.page.get_by_text("Comparing 2 Runs").first.wait_for(timeout=60_000)
        for text in ("augmentation", "paper_r2"):
            seen.page.get_by_text(text).first.wait_for(state="attached", timeout=60_000)
        metric = "&x_axis=step&y_axis_scale=linear&line_smoothness=1&show_point=true"
        seen.page.goto(
            f'{url}/#/metric?runs={chosen}&metric="train_loss"&experiments=["{experiment}"]'
            f'&plot_metric_keys=["train_loss","val_loss"]&plot_layout={{}}{metric}'
        )
        seen.page.get_by_text("(step=1)").nth(3).wait_for(timeout=60_000)  # both losses of both runs
        seen.page.goto(page_of(url, experiment, LOSSES))
        seen.page.get_by_text("train_loss vs val_loss").first.wait_for(timeout=60_000)  # a chart of the saved view
        seen.page.goto(f"{url}/#/models/blood-kedro-regimen_1/versions/1")
        seen.page.get_by_text("Outputs (7)").wait_for(timeout=60_000)  # its signature


@pytest.fixture
def app_folder(demo: Path, tmp_path: Path) -> Path:
    """A project that has the demo's models."""
    folder = copy_project(tmp_path / "project")
    for name in ("cell_kinds", "regimen_2"):
        shutil.copytree(demo / "data/06_models" / name, folder / "data/06_models" / name)
    return folder


def test_a_smear_is_dropped_into_the_app(demo: Path, app_folder: Path) -> None:
    field = sorted((demo / "data/01_raw/synthetic/images").glob("*.png"))[0]
    port = str(free_port())
    settings = {**environment(), "BLOOD_KEDRO_APP_PORT": port, "OMP_NUM_THREADS": "1"}
    url = f"http://127.0.0.1:{port}"
    with serving([sys.executable, "-m", "blood_kedro.page"], url, app_folder, settings), browser_page() as seen:
        seen.page.goto(url)
        seen.page.wait_for_selector("#look")
        seen.page.get_by_text("Model regimen_2, trained in environment base").first.wait_for()
        (app_folder / "nonsense.png").write_text("nonsense")
        seen.page.set_input_files("#pictures input[type=file]", app_folder / "nonsense.png")
        seen.page.get_by_text("nonsense").first.wait_for()
        seen.page.click("#look")
        seen.page.get_by_text("no image to count").first.wait_for(timeout=120_000)
        seen.page.get_by_label("Remove").or_(seen.page.get_by_label("Clear")).first.click()
        seen.page.set_input_files("#pictures input[type=file]", field)
        seen.page.get_by_text(field.stem[:6]).first.wait_for()
        seen.page.click("#look")
        seen.page.wait_for_selector("#viewer .thumb", timeout=120_000)
        seen.page.locator("#first .three").wait_for()
        seen.page.locator("#used").get_by_text("comes with the project").wait_for()
        shown = seen.page.locator("#viewer label.rbc").inner_text()
        correct_two_cells(seen.page)
        assert seen.page.locator("#viewer label.rbc").inner_text() != shown  # counts follow at once
        seen.page.click("#viewer .save")
        seen.page.get_by_text("2 corrections saved in").wait_for(timeout=60_000)
        journal = pd.read_csv(app_folder / "corrections/corrections.csv")
        assert journal["action"].value_counts().drop("unseen").to_dict() == {"changed": 1, "not_a_cell": 1}
        seen.page.get_by_role("button", name="Settings").click()
        seen.page.locator("#task input").click()
        seen.page.get_by_role("option", name="regimen_2").click()
        seen.page.click("#look")
        seen.page.locator("#used").get_by_text("Model regimen_2").wait_for(timeout=120_000)
        assert [error for error in seen.errors if "queue/data" not in error] == []


def correct_two_cells(page: Any) -> None:
    """The first cell of the gallery gets another name by its key; the one after it is called no cell."""
    page.locator("#viewer .thumb").first.click()
    assert page.locator("#viewer path.selected").count() == 1
    page.keyboard.press("1")
    page.keyboard.press("Delete")
    page.get_by_text("2 corrections, not saved yet").wait_for()


def test_a_page_of_a_read_out_is_corrected_and_kept(shared_data: Path, tmp_path: Path) -> None:
    """From the command to its page, its file of corrections, and the folder that a classifier learns from."""
    picture = shared_data / "chula/Dataset/100.jpg"
    blood_kedro.read_out(picture, out=tmp_path / "out")
    with browser_page() as seen:
        seen.page.goto((tmp_path / "out/index.html").as_uri())
        correct_two_cells(seen.page)
        with seen.page.expect_download() as download:
            seen.page.click("#viewer .save")
        download.value.save_as(tmp_path / "corrections.json")
        seen.page.get_by_role("button", name="ruler").click()
        stage = seen.page.locator("#viewer svg.stage").bounding_box()
        seen.page.mouse.move(stage["x"] + 20, stage["y"] + 20)
        seen.page.mouse.down()
        seen.page.mouse.move(stage["x"] + 80, stage["y"] + 20)
        seen.page.mouse.up()
        seen.page.get_by_text("a red cell was taken to be").wait_for()
        assert seen.errors == []
    arguments = [tmp_path / "corrections.json", "--read-out", tmp_path / "out", "--pictures", picture]
    done = CliRunner().invoke(main, ["correct", *map(str, arguments), "--into", str(tmp_path / "kept"), "--by", "me"])
    assert done.exit_code == 0, done.output
    assert "2 corrections saved" in done.output
    journal = pd.read_csv(tmp_path / "kept/corrections.csv")
    assert set(journal["by"]) == {"me"}
    assert journal["action"].value_counts().drop("unseen").to_dict() == {"changed": 1, "not_a_cell": 1}
    for width in (390, 1400):
        with browser_page(width) as seen:
            seen.page.goto((tmp_path / "out/index.html").as_uri())
            seen.page.locator("#viewer .thumb").first.wait_for()
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_folder_of_ones_own_is_looked_at_by_a_detector(demo: Path, app_folder: Path, tmp_path: Path) -> None:
    """`make detect`: overlays, a table, a COCO json and a page; a broken file is listed; nothing is trained."""
    own = tmp_path / "own images"
    own.mkdir()
    fields = sorted((demo / "data/01_raw/synthetic/images").glob("*.png"))[:2]
    for field in fields:
        shutil.copy(field, own / field.name)
    (own / "broken.png").write_text("nonsense")
    kedro_run(
        app_folder,
        "--pipelines=detection_training",
        f"--params=detection.input={own},detection.regimen=regimen_2,detection.score_threshold=0.05",
    )
    report = app_folder / "data/08_reporting/own_detection"
    assert "Model regimen_2, trained in environment base" in (report / "index.html").read_text()
    coco = json.loads((report / "coco.json").read_text())
    cells = pd.read_csv(report / "cells.csv")
    assert [image["file_name"] for image in coco["images"]] == [field.name for field in fields]
    assert len(coco["annotations"]) == len(cells) > 0
    first = coco["annotations"][0]["bbox"]
    assert first == pytest.approx(
        [
            cells["x_min_px"][0],
            cells["y_min_px"][0],
            cells["x_max_px"][0] - cells["x_min_px"][0],
            cells["y_max_px"][0] - cells["y_min_px"][0],
        ]
    )
    assert sorted(p.stem for p in (report / "overlays").glob("*.jpg")) == [field.stem for field in fields]
    own = runs_of(app_folder, "blood-kedro, own pictures")
    assert [run.info.run_name for run in own] == ["own pictures: detection_training"]
    with browser_page(390) as seen:
        seen.page.goto((report / "index.html").as_uri())
        assert seen.page.get_by_text("broken.png").count() == 1
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert seen.page.evaluate("[...document.images].every(i => { i.loading = 'eager'; return true })")
        seen.page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert seen.errors == []


def test_the_documentation_is_complete(tmp_path: Path) -> None:
    """`make docs`, strict: every link leads somewhere; generated pages are there and readable."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    with browser_page() as seen:
        for page, text in (
            ("pipelines/sam_counting.html", "Parameters"),
            ("cards/chula.html", "Licence: MIT"),
            ("data_sources.html", "CC BY 4.0"),
            ("api/counting.html", "FieldUnet"),
        ):
            seen.page.goto((tmp_path / "site" / page).as_uri())
            assert text in seen.page.inner_text("article"), page
