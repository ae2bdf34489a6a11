"""Kept trainings of earlier versions are those of this one once their regimen is written in its words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.training.first_weights import FirstWeights
from tests.conftest import load_script


def earlier(regimen: Regimen, kind: str, run: str | None = None) -> dict[str, Any]:
    """As versions before `first_weights` wrote it."""
    recipe = to_plain(regimen.recipe)
    start = recipe.pop("first_weights")
    initialization = {"kind": kind, "path": start["path"], "mlflow_run": run, "trainable_layers": None}
    compute = {"workers": 4, "accelerator": "gpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    return {**recipe, **compute, "initialization": initialization, "enabled": True, "study": "", "trained_in": None}


@pytest.mark.parametrize(
    ("weights", "kind", "run"),
    [
        (FirstWeights(kind="imagenet"), "imagenet", None),
        (FirstWeights(kind="simulated"), "generated_smears", None),
        (FirstWeights(kind="run", run="abc"), "coco", "abc"),
    ],
)
def test_a_kept_training_is_accepted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: FirstWeights, kind: str, run: str | None
) -> None:
    migrate = load_script("migrate_regimens")
    regimen = Regimen(name="best", first_weights=weights, epochs=3)
    kept = tmp_path / "best_seed_1.json"
    kept.write_text(json.dumps({"map": 0.25, "regimen": earlier(regimen, kind, run)}))
    monkeypatch.setattr(sys, "argv", ["migrate_regimens.py", str(kept)])
    migrate.main()
    content = json.loads(kept.read_text())
    assert content == {"map": 0.25, "regimen": to_plain(regimen.recipe)}
    migrate.main()
    assert json.loads(kept.read_text()) == content
