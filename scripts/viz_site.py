"""Lineage as static files: `python scripts/viz_site.py [folder]`, from the root of the project.

kedro-viz writes its build into `build/`, with this machine's paths in it and without one of the answers that its own
page asks for. Here it ends in a folder of its own, with paths relative to the project, without the tour that would
cover the page at every first visit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

# What a server would answer about installed packages: the page asks for these two, and a file server would say 404.
_METADATA = {
    "has_missing_dependencies": False,
    "package_compatibilities": [
        {"package_name": name, "package_version": version(name), "is_compatible": True}
        for name in ("fsspec", "kedro-datasets")
    ],
}
# Its own switch of the tour, which a visitor can turn on again in the settings.
_NO_TOUR = """<script>
(function () {
  var kept = JSON.parse(localStorage.getItem("KedroViz") || "{}");
  if (kept.showFeatureHints !== undefined) return;
  localStorage.setItem("KedroViz", JSON.stringify(Object.assign(kept, { showFeatureHints: false })));
})();
</script>
"""
_PARTS = ("api", "assets", "404.html", "autoreload.html", "favicon.ico", "index.html", "telemetry.html")


def main(target: Path) -> None:
    """Build lineage with previews into `target`, which is replaced."""
    root = Path.cwd()
    environment = {"KEDRO_ENV": "base", "DO_NOT_TRACK": "true", **os.environ}
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    subprocess.run(command, check=True, cwd=root, env=environment)  # noqa: S603 - our own arguments
    with tempfile.TemporaryDirectory(dir=root) as folder:
        site = Path(folder) / "site"
        site.mkdir()
        for part in _PARTS:
            if (root / "build" / part).exists():
                shutil.move(root / "build" / part, site / part)
        (site / "api/metadata").write_text(json.dumps(_METADATA), encoding="utf-8")
        adapt(site, root)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        site.replace(target)


def adapt(site: Path, root: Path) -> None:
    """Paths relative to the project, no tour.

    Args:
        site: built by kedro-viz.
        root: of the project.
    """
    root_path = str(root).lstrip("/")
    for answer in (path for path in (site / "api").rglob("*") if path.is_file()):
        text = answer.read_text(encoding="utf-8")
        text = text.replace(f"/{root_path}/", "").replace(f"{root_path}/", "")
        answer.write_text(text, encoding="utf-8")
    page = site / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace("<head>", f"<head>\n{_NO_TOUR}", 1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/viz"))
