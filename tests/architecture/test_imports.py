"""Imports go down only: pipelines -> assembly -> library, datasets -> library.core; topics meet in shared topics."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "blood_kedro"
SHARED_TOPICS = {"core", "imaging", "evaluation", "training"}
# What joins topics: the models that ship with the project learn from several sources and serve several pipelines.
ASSEMBLIES = {"shipped"}
# What teaches those models again needs them, and nothing else beside the shared topics.
ALLOWED = {"corrections": {"shipped"}}
KNOW_MLFLOW = {"hooks.py", "tracking.py", "experiments.py", "mlflow_page.py", "serving"}
MODULES = sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_direction(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    for name in imported(path):
        root = name.split(".")[0]
        inner = name.split(".")[1:] if root == "blood_kedro" else []
        if parts[0] == "library":
            assert root not in {"kedro", "kedro_datasets", "kedro_mlflow", "mlflow"}, name
            assert not inner or inner[0] == "library", name  # assembly is above
            if inner and parts[1] != inner[1] and parts[1] not in ASSEMBLIES:
                allowed = SHARED_TOPICS | ALLOWED.get(parts[1], set())
                assert inner[1] in allowed, f"{path} imports topic {name}"
                if parts[1] in SHARED_TOPICS:
                    assert inner[1] == "core", f"{path} imports {name}"
        if parts[0] == "assembly" and inner:
            assert inner[0] in {"assembly", "library"}, name
        if parts[0] == "datasets" and inner:
            assert inner[:2] == ["library", "core"] or inner[0] == "datasets", name
        if parts[0] == "pipelines":
            assert not inner or inner[0] not in {"app", "page"}, name
        if parts[0] in {"app.py", "page.py"}:
            assert not inner or inner[0] != "pipelines", name
        if root == "mlflow":
            assert parts[0] in {"hooks.py", "tracking.py", "experiments.py", "mlflow_page.py", "serving"}, (
                f"{path} imports mlflow"
            )


def test_listing_pipelines_does_not_import_what_is_slow() -> None:
    code = (
        "import sys; import blood_kedro.pipelines.detection_training.nodes, blood_kedro.pipelines.merging.nodes,"
        " blood_kedro.pipelines.reporting.nodes, blood_kedro.pipelines.rbc_morphology.nodes, blood_kedro.hooks,"
        " blood_kedro.pipelines.overlap_weak_supervision.nodes, blood_kedro.pipelines.ingestion.nodes;"
        " from blood_kedro.library.detection.options import Regimen; Regimen(augmentation='paper_r2');"
        " slow = ('torch', 'torchvision', 'lightning', 'mlflow', 'sklearn', 'matplotlib', 'plotly', 'joblib');"
        " print([m for m in slow if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
