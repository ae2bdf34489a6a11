"""Wiring of standardization: one namespace per source."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro import configured
from blood_kedro.pipelines.standardization.nodes import standardize

_PARAMETERS = ["params:standardization", "params:seed", "params:on_bad_input"]


def create_pipeline(**_: object) -> Pipeline:
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
        (Pipeline(template, namespace=name, parameters={p: p for p in _PARAMETERS}) for name in configured.sources()),
        Pipeline([]),
    )
