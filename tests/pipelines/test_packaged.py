"""The package away from its repository: wheel and configuration, run in an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.pipelines.runs import environment

pytestmark = pytest.mark.slow


def test_the_packaged_project_runs_in_an_empty_folder(tmp_path: Path) -> None:
    """As `kedro package` makes it, with the build tools of this environment instead of downloaded ones."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(tmp_path / "site"), str(wheel)], check=True, capture_output=True)
    configuration = tmp_path / "dist/conf-blood_kedro.tar.gz"
    with tarfile.open(configuration, "w:gz") as archive:
        archive.add(PROJECT / "conf", "conf", filter=lambda info: None if "local/" in info.name else info)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "blood_kedro",
            f"--conf-source={configuration}",
            "--pipelines=ingestion,standardization,merging,reporting",
            "--params=sources.synthetic.smears.slides=4,sources.synthetic.smears.fields_per_slide=1",
        ],
        cwd=empty,
        env={**environment(), "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((empty / "data/08_reporting/summary.json").read_text())
    assert summary["unified"]["images"] == 4
    assert (empty / "data/08_reporting/report.html").is_file()
