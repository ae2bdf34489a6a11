"""Notebooks run from top to bottom on what a run has saved, and carry small outputs that say nothing of a machine."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from tests.conftest import PROJECT, load_script

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"/(?:home|root|tmp|work|Users)/\w")


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    return load_script("run_notebooks")


def figures(notebook: Any) -> list[str]:
    """Kinds of the figures that a notebook shows, in their order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_on_the_demo(path: Path, demo: Path, runner: ModuleType) -> None:
    (demo / "notebooks").mkdir(exist_ok=True)
    notebook = runner.executed(path, demo)
    assert figures(notebook)
    assert len(nbformat.writes(notebook)) < 400_000
    assert not MACHINE_PATH.search(nbformat.writes(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_carries_its_outputs_and_shows_a_figure_first(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 400_000
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    shown = [cell for cell in notebook.cells if cell.get("outputs")]
    assert any(kind.startswith("image/") for kind in shown[0].outputs[-1].get("data", {}))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_logs_are_left_out_and_photographs_become_jpegs(runner: ModuleType, tmp_path: Path) -> None:
    cells = [
        "from IPython.display import HTML, display\ndisplay(HTML('a line of the log'))\nprint('a result')",
        "import sys\nprint('a warning', file=sys.stderr)",
        "import io\nimport numpy as np\nfrom IPython.display import Image\nfrom PIL import Image as Pixels\n"
        "def png(pixels):\n    Pixels.fromarray(pixels).save(file := io.BytesIO(), 'png')\n"
        "    return Image(file.getvalue())\n"
        "png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), 'uint8'))",
        "png(np.full((64, 64, 3), 255, 'uint8'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks/small.ipynb"
    nbformat.write(notebook, path)
    executed = runner.executed(path, tmp_path)
    text = nbformat.writes(executed)
    assert "a result" in text
    assert "a line of the log" not in "".join(str(cell.outputs) for cell in executed.cells)
    assert executed.cells[1].outputs == []
    assert figures(executed) == ["image/jpeg", "image/png"]
