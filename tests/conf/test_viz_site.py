"""The static lineage: what is changed of what kedro-viz builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import load_script


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """As kedro-viz builds it: paths of this machine, layers as they come."""
    folder = tmp_path / "site"
    (folder / "api/pipelines").mkdir(parents=True)
    (folder / "api/nodes").mkdir()
    (folder / "index.html").write_text("<html>\n<head><script src='x.js'></script></head></html>")
    graph = json.dumps({"layers": ["models", "raw", "reporting", "model_input"], "nodes": []})
    for name in ("main", "pipelines/ingestion"):
        (folder / "api" / name).write_text(graph)
    (folder / "api/nodes/1").write_text(json.dumps({"filepath": "/home/someone/project/data/a.csv"}))
    return folder


def test_a_static_lineage_has_no_tour_no_paths_of_ours_and_its_layers_in_order(site: Path) -> None:
    viz_site = load_script("viz_site")
    viz_site.adapt(site, Path("/home/someone/project"))
    assert json.loads((site / "api/nodes/1").read_text()) == {"filepath": "data/a.csv"}
    for name in ("main", "pipelines/ingestion"):
        assert json.loads((site / "api" / name).read_text())["layers"] == ["raw", "model_input", "models", "reporting"]
    page = (site / "index.html").read_text()
    assert page.count("showFeatureHints: false") == 1
    assert page.index("showFeatureHints") < page.index("x.js")  # before kedro-viz reads it
