"""Wiring of overlap_weak_supervision: one namespace per set of crops, and one per classifier of it."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.assembly.localizers import localizer
from blood_kedro.library.overlap.options import CropOptions, OverlapClassifier
from blood_kedro.pipelines.overlap_weak_supervision.nodes import (
    cut_crops,
    draw_crops,
    label_crops,
    score_overlap_classifier,
    train_classifier,
)
from blood_kedro.plan import Plan


def create_pipeline(plan: Plan) -> Pipeline:
    """Crops and their weak labels; classifiers that learn from them."""
    parts = [_crops(name, options) for name, options in plan.overlap_crops.items()]
    parts += [_classifier(name, options) for name, options in plan.overlap_classifiers.items()]
    return sum(parts, Pipeline([]))


def _crops(name: str, options: CropOptions) -> Pipeline:
    localizer(options)  # refused here, before anything runs, if there is none of this name or it lacks an option
    of_source = ["raw_folder", "image_index", "raw_annotations"]
    if options.truth == "simulated":
        of_source.append("simulated_truth")
    template = Pipeline(
        [
            Node(
                cut_crops,
                {
                    "options": "params:options",
                    "image_groups": "image_groups",
                    "on_bad_input": "params:on_bad_input",
                    **{part: part for part in of_source},
                },
                ["cells", "measures", "cells_rejects"],
                name="cut",
                tags=["crops"],
            ),
            Node(
                label_crops,
                ["measures", "params:rules"],
                ["votes", "weak_labels", "rule_report", "label_facts"],
                name="label",
            ),
            Node(draw_crops, ["cells", "measures", "weak_labels", "params:seed"], "crops_figure", name="draw"),
        ]
    )
    return Pipeline(
        template,
        namespace=name,
        inputs={"image_groups": "image_groups"} | {part: f"{options.source}.{part}" for part in of_source},
        parameters={
            "params:options": f"params:overlap.crops.{name}",
            "params:rules": "params:overlap.rules",
            "params:on_bad_input": "params:on_bad_input",
            "params:seed": "params:seed",
        },
    )


def _classifier(name: str, classifier: OverlapClassifier) -> Pipeline:
    of_crops = ["cells", "measures", "votes", "weak_labels"]
    template = Pipeline(
        [
            Node(
                train_classifier,
                [*of_crops, "work_folder", "params:classifier"],
                ["model", "answers", "history", "run_id"],
                name="train",
            ),
            Node(
                score_overlap_classifier,
                {
                    "answers": "answers",
                    "model": "model",
                    "classifier": "params:classifier",
                    "seed": "params:seed",
                    "crops": "params:crops",
                    "run_id": "run_id",
                },
                ["metrics", "overlap_figure"],
                name="score",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=name,
        inputs={part: f"{classifier.crops}.{part}" for part in of_crops},
        parameters={
            "params:classifier": f"params:overlap.classifiers.{name}",
            "params:crops": f"params:overlap.crops.{classifier.crops}",
            "params:seed": "params:seed",
        },
    )
