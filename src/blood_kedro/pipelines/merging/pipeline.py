"""Wiring of merging."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.pipelines.merging.nodes import coco_per_split, describe, merge
from blood_kedro.plan import Plan


def create_pipeline(plan: Plan) -> Pipeline:
    """One corpus out of every enabled source."""
    parts = ("images", "annotations", "metadata")
    standardized = {f"{name}__{part}": f"{name}.{part}" for name in plan.enabled_sources for part in parts}
    return Pipeline(
        [
            Node(
                merge,
                {
                    "unified_folder": "unified_folder",
                    "merging": "params:merging",
                    "seed": "params:seed",
                    **{argument: argument for argument in standardized},
                },
                [
                    "unified_images",
                    "unified_index",
                    "image_groups",
                    "unified_annotations",
                    "unified_classes",
                    "duplicate_pairs",
                    "merging_rejects",
                    "unified_summary",
                ],
                name="merge",
            ),
            Node(
                describe,
                ["unified_index", "unified_annotations"],
                ["composition_table", "class_table"],
                name="describe_unified",
            ),
            Node(
                coco_per_split,
                [
                    "unified_index",
                    "unified_annotations",
                    "unified_classes",
                    "params:standardization.target_px",
                    "params:sources",
                ],
                ["coco_train", "coco_val", "coco_test"],
                name="coco_per_split",
            ),
        ],
        inputs=standardized,
    )
