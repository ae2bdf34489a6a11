"""Paths and ports reach the programs of `make` as they were typed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from blood_kedro import ports
from blood_kedro.library.core.errors import ConfigurationError, PortTakenError
from tests.conftest import PROJECT

ODD = '/data/Smith, J/it\'s my="smears": $5 ${x} é #1 (a;b) %d `x`'
SPY = """#!/bin/sh
printf '%s\\n' "images=$BLOOD_KEDRO_IMAGES" "raw=$BLOOD_KEDRO_RAW" "port=$BLOOD_KEDRO_APP_PORT"
printf '%s\\n' "unheard=$PYTHONWARNINGS" "$@"
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def make(tmp_path: Path, *arguments: str, **variables: str) -> str:
    """What programs of the virtual environment are told; each is a stand-in that prints it."""
    for name in ("kedro", "python", "mlflow", "blood-kedro"):
        (tmp_path / name).write_text(SPY)
        (tmp_path / name).chmod(0o755)
    stamp = tmp_path / "installed"
    stamp.touch()
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("BLOOD_KEDRO_RAW", "RAW", "IMAGES", "PORT", "PYTHONWARNINGS")
    }
    done = subprocess.run(
        ["make", "-s", f"STAMP={stamp}", f"BIN={tmp_path}", *arguments],
        cwd=PROJECT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("target", ["count", "read-out", "detect"])
def test_images_may_lie_anywhere(tmp_path: Path, target: str) -> None:
    assert make(tmp_path, target, f"IMAGES={ODD}").endswith(f"--\n{ODD}\n")
    assert make(tmp_path, target, IMAGES=ODD).endswith(f"--\n{ODD}\n")
    assert f"say which: make {target} IMAGES=" in make(tmp_path, target)


def test_a_trained_regimen_detects_by_the_pipeline(tmp_path: Path) -> None:
    said = make(tmp_path, "detect", f"IMAGES={ODD}", "REGIMEN=regimen_2", "ENV=laptop")
    assert f"images={ODD}\n" in said
    assert "--env=laptop\n" in said
    assert "--params=detection.regimen=regimen_2\n" in said


@pytest.mark.parametrize("target", ["real", "data", "bench", "simulator", "transfer", "train-shipped", "judge-shipped"])
def test_raw_data_may_lie_anywhere(tmp_path: Path, target: str) -> None:
    assert f"raw={ODD}\n" in make(tmp_path, target, f"RAW={ODD}")
    assert "raw=/elsewhere\n" in make(tmp_path, target, BLOOD_KEDRO_RAW="/elsewhere")
    assert "raw=data/01_raw\n" in make(tmp_path, target)


def test_the_width_of_a_red_cell_is_handed_on(tmp_path: Path) -> None:
    said = make(tmp_path, "count", "IMAGES=a", "CELL_PX=36")
    assert "--cell-px=36\n" in said


@pytest.mark.parametrize(
    ("target", "told", "usual"), [("viz", "--port=", "4141"), ("mlflow", "blood_kedro.mlflow_page\n", "5000")]
)
def test_port_moves_a_page(tmp_path: Path, target: str, told: str, usual: str) -> None:
    assert f"{told}{usual}\n" in make(tmp_path, target)
    assert f"{told}7123\n" in make(tmp_path, target, "PORT=7123")


@pytest.mark.parametrize("target", ["viz", "viz-site"])
def test_kedro_viz_does_not_warn_of_a_class_that_is_to_go(tmp_path: Path, target: str) -> None:
    assert "unheard=ignore:ORJSONResponse is deprecated\n" in make(tmp_path, target)
    assert "unheard=\n" in make(tmp_path, "mlflow")


def test_port_moves_the_app(tmp_path: Path) -> None:
    assert "port=7123" in make(tmp_path, "app", "PORT=7123")


def test_a_port_that_is_taken_is_said_in_one_line_with_one_that_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError) as raised:
            ports.check("mlflow", port)
    assert f"port {port} is taken" in str(raised.value)
    assert "\n" not in str(raised.value)
    number = str(raised.value).rpartition("make mlflow PORT=")[2]
    assert ports.check("mlflow", number) == int(number)


@pytest.mark.parametrize("wrong", ["abc", "0", "70000", "-1", ""])
def test_what_is_no_port_is_said(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="make app PORT="):
        ports.check("app", wrong)
