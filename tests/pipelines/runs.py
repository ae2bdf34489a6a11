"""`kedro run` in a folder of its own, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

QUICK = (
    "sources.synthetic.smears.slides=6,sources.synthetic.smears.fields_per_slide=2,pretraining.smears.slides=2,"
    "pretraining.smears.fields_per_slide=2,pretraining.regimen.epochs=1,regimens.regimen_1.epochs=1,"
    "regimens.regimen_2.epochs=1,evaluation.resamples=5,morphology.cells.synthetic.per_class=12,"
    "morphology.cells.synthetic.slides=6,morphology.segmenters.unet.training.epochs=1,"
    "morphology.classifiers.efficientnet_lite0.training.epochs=1,"
    "morphology.classifiers.mobilenet_v3_small.training.epochs=1,overlap.classifiers.overlap_base.resamples=10,"
    "overlap.classifiers.overlap_counting.training.epochs=1"
)
# One regimen is enough to be stopped and to go on.
ONE_REGIMEN = f"{QUICK},regimens.regimen_2.enabled=false"
# Training of detectors and all that it needs: what the tests of stopping and continuing look at.
DETECTION = "--pipelines=ingestion,standardization,merging,detection_training,reporting"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kedro", "run", *arguments]


def environment() -> dict[str, str]:
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in {"MLFLOW_TRACKING_URI", "KEDRO_ENV", "BLOOD_KEDRO_RAW", "BLOOD_KEDRO_IMAGES"}
    }
    return {**kept, "DO_NOT_TRACK": "true", "GIT_CEILING_DIRECTORIES": "/"}


def kedro_run(
    folder: Path, *arguments: str, check: bool = True, raw: Path | None = None
) -> subprocess.CompletedProcess[str]:
    variables = environment() | ({} if raw is None else {"BLOOD_KEDRO_RAW": str(raw)})
    done = subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=1500, env=variables, check=False
    )
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def summary_of(folder: Path, results: str = "data") -> dict[str, Any]:
    """`results`: where those of the environment are; of `base`, unless it is said."""
    return json.loads((folder / results / "08_reporting/summary.json").read_text())


def runs_of(folder: Path, name: str = "blood-kedro") -> list[Any]:
    """Runs of an experiment."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns.db'}")
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id])
