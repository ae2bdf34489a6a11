"""Models are logged without a warning: the example that goes with them is of a size that they take."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import mlflow
import pytest
import torch

from blood_kedro import tracking
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.counting.name.kinds import build_network

KINDS = ["rbc", "wbc", "platelet"]


@pytest.mark.parametrize("side_px", [32])
def test_a_classifier_of_cutouts_is_logged_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, side_px: int
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    monkeypatch.setattr(tracking, "_registered_name", lambda: None)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    weights = build_network(len(KINDS), side_px, 0.0).state_dict()
    config = {"kinds": KINDS, "side_px": side_px, "cutout_cell_px": 36, "normalised": False}
    said = logging.getLogger("mlflow")
    monkeypatch.setattr(said, "propagate", True)
    with mlflow.start_run(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        tracking.log_kind_classifier(ModelBundle(weights, config))
    assert [str(each.message) for each in warned if "hint" in str(each.message)] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
