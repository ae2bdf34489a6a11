"""A run against a tracking server with PostgreSQL behind it and its artifacts in an object store (docs/server.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import copy_project
from tests.pipelines.browser import free_port, serving
from tests.pipelines.runs import QUICK, command, environment

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh PostgreSQL on this machine; its address."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    tools = str(found[-1]) if found else None
    if shutil.which("initdb", path=tools) is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_postgres = ["runuser", "-u", "postgres", "--"]
        for part in (folder, *folder.parents[:3]):
            part.chmod(0o755)
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()

    def call(tool: str, *arguments: str) -> None:
        program = shutil.which(tool, path=tools)
        subprocess.run([*as_postgres, str(program), *arguments], check=True, capture_output=True, cwd="/")

    call("initdb", "-D", str(folder / "db"), "-U", "mlflow", "--auth=trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    call("pg_ctl", "-D", str(folder / "db"), "-o", options, "-l", str(folder / "log"), "-w", "-t", "240", "start")
    try:
        yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(folder / "db"), "-m", "immediate", "-t", "240", "stop")


@pytest.fixture
def server(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's server in front of that database and a stand-in for S3; its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    store = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="blood-kedro")
    mine = free_port()
    settings = {
        **os.environ,
        **keys,
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command_line = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(mine),
        "--workers",
        "1",
        "--backend-store-uri",
        database,
        "--artifacts-destination",
        "s3://blood-kedro",
    ]
    try:
        with serving(command_line, f"http://127.0.0.1:{mine}/health", tmp_path, settings):
            yield f"http://127.0.0.1:{mine}"
        stored = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket="blood-kedro")["Contents"]
        assert any(item["Key"].endswith("weights.safetensors") for item in stored)
    finally:
        store.stop()


def test_a_run_its_metrics_and_its_registered_model_are_on_the_server(server: str, tmp_path: Path) -> None:
    import mlflow

    folder = copy_project(tmp_path / "project")
    quick = f"{QUICK},regimens.regimen_2.enabled=false,evaluation.resamples=2"
    done = subprocess.run(
        command("--pipelines=ingestion,standardization,merging,detection_training", "--params", quick),
        cwd=folder,
        env={**environment(), "MLFLOW_TRACKING_URI": server},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert not (folder / "mlruns.db").exists()
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name("blood-kedro")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs["regimen_1"].data.metrics["val_map_50"] >= 0
    assert {item.dataset.name for item in runs["regimen_1"].inputs.dataset_inputs} == {"unified, train", "unified, val"}
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(server)
        model = mlflow.pyfunc.load_model("models:/blood-kedro-regimen_1/1")
    finally:
        mlflow.set_tracking_uri(before)
    field = sorted((folder / "data/01_raw/synthetic/images").glob("*.png"))[0]
    found = model.predict(np.asarray(Image.open(field).convert("RGB"))[None])
    assert found.columns.tolist()[:3] == ["image", "label", "score"]
    assert len(found) > 0
