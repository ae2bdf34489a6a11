"""Wiring of standardization: one namespace per source."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.pipelines.standardization.nodes import standardize
from blood_kedro.plan import Plan

_PARAMETERS = ["params:standardization", "params:seed", "params:on_bad_input"]


def create_pipeline(plan: Plan) -> Pipeline:
    """Standardize every enabled source."""
    template = Pipeline(
        [
            Node(
                standardize,
                ["image_index", "raw_annotations", "raw_folder", "standardized_folder", *_PARAMETERS],
                ["images", "annotations", "metadata", "classes", "standardization_rejects", "boxes_summary"],
                name="standardize",
            )
        ]
    )
    return sum(
        (Pipeline(template, namespace=name, parameters=set(_PARAMETERS)) for name in plan.enabled_sources), Pipeline([])
    )
