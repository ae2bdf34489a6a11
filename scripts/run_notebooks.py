"""Execute the notebooks on what `make run` has saved, and keep in them what a reader wants to see.

`python scripts/run_notebooks.py`, or `make notebooks`. Kept are figures (as JPEG where that is smaller), tables and
what is printed; lines of logs go, and with them paths of this machine.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
JPEG_QUALITY = 85


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs.

    Args:
        path: of the notebook.
        folder: of the project whose results it loads; the notebook runs in `folder/notebooks`.
    """
    notebook = nbformat.read(path, 4)
    resources = {"metadata": {"path": str(folder / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_small(output) for output in cell.outputs if _is_shown(output)]
    return notebook


def _is_shown(output: Any) -> bool:  # noqa: ANN401 - nbformat's nodes
    """Whether a reader wants it: figures, results and printed text, but no logs, which come as other displays."""
    if output.output_type == "stream":
        return bool(output.name == "stdout")
    return output.output_type == "execute_result" or "image/png" in output.get("data", {})


def _small(output: Any) -> Any:  # noqa: ANN401
    """The same output; a figure with photographs in it becomes a JPEG, which is a quarter of the size."""
    data = output.get("data", {})
    if "image/png" in data:
        file = io.BytesIO()
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        image.save(file, "jpeg", quality=JPEG_QUALITY, subsampling=0, optimize=True)
        jpeg = base64.b64encode(file.getvalue()).decode()
        if len(jpeg) < len(data["image/png"]):
            del data["image/png"]
            data["image/jpeg"] = jpeg
    return output


def main() -> None:
    """Execute all notebooks of the project and write them back."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        part = path.with_name(f".part-{path.name}")
        part.write_text(nbformat.writes(executed(path, ROOT)) + "\n", encoding="utf-8")
        part.replace(path)


if __name__ == "__main__":
    main()
