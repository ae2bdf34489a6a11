"""Imports go down only: pipelines -> assembly -> library, datasets -> library.core; topics meet in shared topics."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
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


def _edges() -> dict[str, set[str]]:
    """Of each module those of the package that it imports, anywhere in it; not what only types are read for.

    The package's face, which hands names on and says the version, is left out.
    """
    names = {".".join(("blood_kedro", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    del names["blood_kedro"]
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        unread = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        targets: set[str] = set()
        for node in ast.walk(tree):
            if id(node) in unread:
                continue
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner_names = {f"{node.module}.{alias.name}" for alias in node.names}
                modules = inner_names & names.keys()
                targets |= modules | ({node.module} if len(modules) < len(inner_names) else set())
        edges[name] = (targets & names.keys()) - {name}
    return edges


def test_no_modules_import_each_other() -> None:
    """Not in functions either: a stranger who reads one of them must not have to know the other first."""
    TopologicalSorter(_edges()).prepare()  # CycleError names the circle


def test_circles_are_seen() -> None:
    edges = _edges()
    assert "blood_kedro.library.core.errors" in edges["blood_kedro.environments"]
    edges["blood_kedro.library.core.errors"] = {"blood_kedro.environments"}
    with pytest.raises(CycleError):
        TopologicalSorter(edges).prepare()


def python(code: str) -> str:
    """What a new Python process says that runs this in the project; that MLflow wants type hints is not said."""
    command = [sys.executable, "-W", "default", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCE.parents[1])
    assert "type hint" not in done.stderr
    return done.stdout


# What takes a tenth of a second or more to import, and no list of pipelines needs.
SLOW = "torch torchvision lightning timm mlflow sklearn scipy skimage matplotlib plotly joblib onnxruntime transformers"


def test_listing_pipelines_does_not_import_what_is_slow() -> None:
    code = (
        "import sys; import blood_kedro.hooks;"
        " from blood_kedro.library.detection.options import Regimen; Regimen(augmentation='paper_r2');"
        " from kedro.framework.cli import main; sys.argv = ['kedro', 'registry', 'list'];\n"
        "try: main()\n"
        f"finally: print([each for each in {SLOW!r}.split() if each in sys.modules])"
    )
    lines = python(code).splitlines()
    assert "- rbc_morphology" in lines and lines[-1] == "[]"


def test_the_version_of_kedro_is_told_without_tables_and_pixels() -> None:
    code = (
        "import sys; from kedro.framework.cli import main; sys.argv = ['kedro', '--version'];\n"
        "try: main()\n"
        f"finally: print([each for each in '{SLOW} pandas numpy cv2 pandera'.split() if each in sys.modules])"
    )
    lines = python(code).splitlines()
    assert lines[0].startswith("kedro, version 1.") and lines[-1] == "[]"


def test_commands_of_kedro_mlflow_are_there_all_the_same() -> None:
    code = "import sys; from kedro.framework.cli import main; sys.argv = ['kedro', 'mlflow', '--help']; main()"
    said = python(code)
    assert all(re.search(rf"^  {name} ", said, re.MULTILINE) for name in ("init", "modelify", "ui")), said


def test_a_session_has_the_hooks_of_the_project_and_of_kedro_mlflow() -> None:
    code = (
        "from pathlib import Path; from kedro.framework.session import KedroSession;"
        " from kedro.framework.startup import bootstrap_project; bootstrap_project(Path.cwd());"
        " session = KedroSession.create(); again = KedroSession.create();"
        " print(sorted(type(each).__name__ for each in session._hook_manager.get_plugins()))"
    )
    hooks = {"SessionPlan", "TrackingStore", "MlflowRunGuard", "RunRecord", "StaleRuns", "ResultRecords", "RunLines"}
    assert hooks | {"MlflowHook"} <= set(ast.literal_eval(python(code).splitlines()[-1]))
