"""Wiring of ingestion: one namespace per source."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.pipelines.ingestion.nodes import fetch_source, generate_smears, ingest_source, read_truth
from blood_kedro.plan import Plan

_TABLES = ["image_index", "raw_annotations", "masks", "rejects", "ingestion_summary"]
_SHARED = {"params:on_bad_input", "params:seed", "params:download"}


def create_pipeline(plan: Plan) -> Pipeline:
    """Read every enabled source; fetch those that are not there, and the further sets that other pipelines read."""
    parts = [_source(name) for name in plan.enabled_sources]
    return sum(parts + [_further(name) for name in plan.needed_sets], Pipeline([]))


def _source(name: str) -> Pipeline:
    ingest = Node(ingest_source, ["raw_folder", "params:source", "params:on_bad_input"], _TABLES, name="ingest")
    mapped = {"params:source": f"params:sources.{name}"}
    if name == "synthetic":
        mapped["params:smears"] = "params:sources.synthetic.smears"
        return _namespace(
            name,
            mapped,
            Node(generate_smears, ["target_folder", "params:smears", "params:seed"], "raw_folder", name="generate"),
            ingest,
            Node(read_truth, "raw_folder", "simulated_truth", name="truth"),
        )
    return _namespace(name, {**mapped, "params:name": f"params:sources.{name}.name"}, _fetch(), ingest)


def _further(name: str) -> Pipeline:
    return _namespace(name, {"params:name": f"params:further_sets.{name}"}, _fetch())


def _fetch() -> Node:
    return Node(fetch_source, ["target_folder", "params:name", "params:download"], "raw_folder", name="fetch")


def _namespace(name: str, mapped: dict[str, str], *nodes: Node) -> Pipeline:
    shared = {each: each for each in _SHARED & Pipeline(nodes).inputs()}
    return Pipeline(nodes, namespace=name, parameters=mapped | shared)
