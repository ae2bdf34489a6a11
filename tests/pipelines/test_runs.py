"""Runs that are stopped, killed, refused or repeated: what they leave and how they go on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import copy_project
from tests.pipelines.runs import DETECTION, ONE_REGIMEN, QUICK, command, environment, kedro_run, runs_of, summary_of

pytestmark = pytest.mark.slow


def test_reporting_alone_and_before_anything_ran(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    kedro_run(folder, "--pipelines=reporting")
    assert set(summary_of(folder)) == {"run"}
    kedro_run(folder, "--pipelines=ingestion,reporting", "--params", QUICK)
    assert set(summary_of(folder)) == {"run", "sources"}


def test_missing_source_names_the_folder_and_how_to_get_it(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    done = kedro_run(folder, "--pipelines=ingestion", "--params", "sources.bccd.enabled=true", check=False)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert str(folder / "data/01_raw/bccd") in output
    assert "git clone" in output
    assert {run.info.status for run in runs_of(folder)} == {"FAILED"}


def test_bad_parameter_stops_before_any_node(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    done = kedro_run(folder, "--params", "regimens.regimen_1.epochs=many", check=False)
    assert done.returncode != 0
    assert "regimen_1" in done.stdout + done.stderr
    assert not (folder / "data/02_intermediate").exists()


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose sources are merged; copies of it find that done."""
    folder = copy_project(tmp_path_factory.mktemp("merged") / "project")
    kedro_run(folder, "--pipelines=ingestion,standardization,merging", "--params", ONE_REGIMEN)
    return folder


def copied(merged: Path, folder: Path) -> Path:
    """A project of its own with the same data, and no MLflow run."""
    shutil.copytree(merged, folder, ignore=shutil.ignore_patterns("mlruns*"))
    return folder


def start_training(folder: Path) -> subprocess.Popen[str]:
    """A run that is in mid-training when this returns."""
    process = subprocess.Popen(
        command(DETECTION, "--params", ONE_REGIMEN.replace("regimen_1.epochs=1", "regimen_1.epochs=3")),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        # Started in the background, a shell hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 300
    while not list((folder / "data/06_models/.work/regimen_1").glob("*/resume.ckpt")):
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.time() < deadline
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopped_run_is_left_killed(merged: Path, tmp_path: Path, sent: signal.Signals) -> None:
    folder = copied(merged, tmp_path / "project")
    process = start_training(folder)
    process.send_signal(sent)
    output = process.communicate(timeout=120)[0]
    assert process.returncode != 0, output[-2000:]
    states = {run.info.run_name: run.info.status for run in runs_of(folder) if "mlflow.parentRunId" in run.data.tags}
    parent = next(run for run in runs_of(folder) if "mlflow.parentRunId" not in run.data.tags)
    assert states["regimen_1"] == "KILLED", (states, output[-2000:])
    assert parent.info.status == "KILLED"


def test_kill_9_in_mid_epoch_continues_and_ends_with_the_same_result(merged: Path, tmp_path: Path) -> None:
    cut, whole = copied(merged, tmp_path / "cut"), copied(merged, tmp_path / "whole")
    process = start_training(cut)
    process.kill()
    process.communicate()
    three = ONE_REGIMEN.replace("regimen_1.epochs=1", "regimen_1.epochs=3")
    resumed = kedro_run(cut, DETECTION, "--params", three)
    assert "regimen_1 continues from" in resumed.stdout
    kedro_run(whole, DETECTION, "--params", three)
    assert figures(summary_of(cut)) == figures(summary_of(whole))
    states = sorted(run.info.status for run in runs_of(cut) if "mlflow.parentRunId" not in run.data.tags)
    assert states == ["FINISHED", "KILLED"]


def figures(value: Any) -> Any:
    """Everything in a summary but times, speeds and ids."""
    skipped = {"mlflow_run_id", "seconds", "seconds_per_epoch", "images_per_second", "predict_images_per_second"}
    if isinstance(value, dict):
        return {k: figures(v) for k, v in value.items() if k not in skipped}
    return [figures(v) for v in value] if isinstance(value, list) else value


def test_two_sessions_in_one_process_keep_their_runs_apart(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):
        bootstrap_project(project)
        with KedroSession.create(project_path=project) as session:
            session.run(pipeline_names=["reporting"])
    runs = runs_of(project)
    assert len(runs) == 2
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs)
    assert {run.info.status for run in runs} == {"FINISHED"}
