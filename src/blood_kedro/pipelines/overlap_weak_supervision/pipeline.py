"""Wiring of overlap_weak_supervision: one namespace per set of crops, and one per study of it."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.assembly.localizers import localizer
from blood_kedro.library.overlap.options import CropOptions, Study
from blood_kedro.pipelines.overlap_weak_supervision.nodes import (
    cut_crops,
    draw_crops,
    label_crops,
    score_study,
    train_study,
)
from blood_kedro.plan import Plan


def create_pipeline(plan: Plan) -> Pipeline:
    """Crops and their weak labels; classifiers that learn from them."""
    parts = [_crops(name, options) for name, options in plan.overlap_crops.items()]
    parts += [_study(name, options) for name, options in plan.overlap_studies.items()]
    return sum(parts, Pipeline([]))


def _crops(name: str, options: CropOptions) -> Pipeline:
    localizer(options)  # refused here, before anything runs, if there is none of this name or it lacks an option
    source = options.source
    truth = {"simulated_truth": f"{source}.simulated_truth"} if options.truth == "simulated" else {}
    return Pipeline(
        [
            Node(
                cut_crops,
                {
                    "options": f"params:overlap.crops.{name}",
                    **{part: f"{source}.{part}" for part in ("raw_folder", "image_index", "raw_annotations")},
                    "image_groups": "image_groups",
                    "on_bad_input": "params:on_bad_input",
                    **truth,
                },
                [f"{name}.cells", f"{name}.measures", f"{name}.cells_rejects"],
                name="cut",
                namespace=name,
                tags=["crops"],
            ),
            Node(
                label_crops,
                [f"{name}.measures", "params:overlap.rules"],
                [f"{name}.{part}" for part in ("votes", "weak_labels", "rule_report", "label_facts")],
                name="label",
                namespace=name,
            ),
            Node(
                draw_crops,
                [f"{name}.cells", f"{name}.measures", f"{name}.weak_labels", "params:seed"],
                f"{name}.crops_figure",
                name="draw",
                namespace=name,
            ),
        ]
    )


def _study(name: str, study: Study) -> Pipeline:
    crops = study.crops
    options = f"params:overlap.studies.{name}"
    return Pipeline(
        [
            Node(
                train_study,
                [
                    *(f"{crops}.{part}" for part in ("cells", "measures", "votes", "weak_labels")),
                    f"{name}.work_folder",
                    options,
                ],
                [f"{name}.{part}" for part in ("model", "answers", "history", "run_id")],
                name="train",
                namespace=name,
            ),
            Node(
                score_study,
                {
                    "answers": f"{name}.answers",
                    "model": f"{name}.model",
                    "study": options,
                    "seed": "params:seed",
                    "crops": f"params:overlap.crops.{crops}",
                    "run_id": f"{name}.run_id",
                },
                [f"{name}.metrics", f"{name}.study_figure"],
                name="score",
                namespace=name,
            ),
        ]
    )
