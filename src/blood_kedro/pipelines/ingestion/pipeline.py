"""Wiring of ingestion: one namespace per source."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro import configured
from blood_kedro.pipelines.ingestion.nodes import generate_smears, ingest_source, read_truth

_TABLES = ["image_index", "raw_annotations", "masks", "rejects", "ingestion_summary"]


def create_pipeline(**_: object) -> Pipeline:
    """Read every enabled source."""
    return sum((_source(name) for name in configured.sources()), Pipeline([]))


def _source(name: str) -> Pipeline:
    nodes = [Node(ingest_source, ["raw_folder", "params:source", "params:on_bad_input"], _TABLES, name="ingest")]
    if name == "synthetic":
        nodes = [
            Node(generate_smears, ["target_folder", "params:smears", "params:seed"], "raw_folder", name="generate"),
            *nodes,
            Node(read_truth, "raw_folder", "simulated_truth", name="truth"),
        ]
    shared = {"params:on_bad_input", "params:seed"} & Pipeline(nodes).inputs()
    mapped = {"params:source": f"params:sources.{name}"}
    if name == "synthetic":
        mapped["params:smears"] = "params:sources.synthetic.smears"
    return Pipeline(nodes, namespace=name, parameters=mapped | {p: p for p in shared})
