"""Lineage: layers in order in every pipeline, and what is changed of the static files that kedro-viz builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro_viz.data_access.managers import DataAccessManager
from kedro_viz.server import populate_data

from blood_kedro.environments import config_loader, plan_of_files
from blood_kedro.pipeline_registry import register_pipelines
from tests.conftest import PROJECT, load_script


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """As kedro-viz builds it: paths of this machine."""
    folder = tmp_path / "site"
    (folder / "api/nodes").mkdir(parents=True)
    (folder / "index.html").write_text("<html>\n<head><script src='x.js'></script></head></html>")
    (folder / "api/nodes/1").write_text(json.dumps({"filepath": "/home/someone/project/data/a.csv"}))
    return folder


def test_a_static_lineage_has_no_tour_and_no_paths_of_ours(site: Path) -> None:
    viz_site = load_script("viz_site")
    viz_site.adapt(site, Path("/home/someone/project"))
    assert json.loads((site / "api/nodes/1").read_text()) == {"filepath": "data/a.csv"}
    page = (site / "index.html").read_text()
    assert page.count("showFeatureHints: false") == 1
    assert page.index("showFeatureHints") < page.index("x.js")  # before kedro-viz reads it


@pytest.mark.parametrize("environment", ["base", "laptop", "paper", "bccd"])
def test_layers_stand_in_order_in_every_pipeline(environment: str) -> None:
    """As kedro-viz sorts them: by what leads to what in one pipeline, by name where nothing does."""
    pipelines = register_pipelines(plan_of_files(PROJECT, environment))
    lineage = DataAccessManager()
    catalog = DataCatalog.from_config(config_loader(PROJECT, environment)["catalog"])
    populate_data(lineage, catalog, pipelines, {})
    orders = {}
    for name in pipelines:
        shown = {getattr(node, "layer", None) for node in lineage.get_nodes_for_registered_pipeline(name)}
        layers = lineage.get_sorted_layers_for_registered_pipeline(name)
        orders[name] = [layer for layer in layers if layer in shown]
    assert orders == {name: sorted(layers) for name, layers in orders.items()}
    # Layers are called as the folders of data/; without them kedro-viz has found a circle, and shows none.
    folders = {folder.name for folder in (PROJECT / "data").glob("0?_*")}
    assert {"01_raw", "05_model_input", "08_reporting"} <= set(orders["__default__"]) <= folders
