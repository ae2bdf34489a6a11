"""Wiring of detection training: one namespace per regimen, one template for all."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.library.detection.options import Regimen
from blood_kedro.pipelines.detection_training.nodes import (
    cells_to_paste,
    detect_own_images,
    detect_with_shipped,
    draw,
    predict,
    pretrain,
    score,
    train,
)
from blood_kedro.plan import Plan

_SHARED = {"coco_train", "coco_val", "unified_images", "unified_summary"}


def create_pipeline(plan: Plan) -> Pipeline:
    """Train, predict and score every enabled regimen; or look at a user's own images with a trained one."""
    if plan.detects_own_images:
        return _own_images(plan.own_detector)
    regimens = plan.enabled_regimens
    parts = [_regimen(name, options, plan.evaluation.split) for name, options in regimens.items()]
    if any(_starts_from_simulated(options) for options in regimens.values()):
        parts.insert(0, _pretraining())
    return sum(parts, Pipeline([]))


def _starts_from_simulated(regimen: Regimen) -> bool:
    return regimen.first_weights.kind == "simulated"


def _pretraining() -> Pipeline:
    node = Node(pretrain, ["work_folder", "params:pretraining", "params:seed"], ["model", "history"], name="pretrain")
    return Pipeline([node], namespace="pretraining", parameters={p: p for p in ("params:pretraining", "params:seed")})


def _regimen(name: str, regimen: Regimen, split: str) -> Pipeline:
    training_inputs = {
        "coco_train": "coco_train",
        "coco_val": "coco_val",
        "images": "unified_images",
        "work_folder": "work_folder",
        "regimen": "params:regimen",
    }
    scored = f"coco_{split}"
    mapping = {scored: scored}
    nodes = []
    if _starts_from_simulated(regimen):
        training_inputs["pretrained"] = "pretrained"
        mapping["pretrained"] = "pretraining.model"
    if regimen.copy_paste is not None:
        training_inputs["cutouts"] = "cutouts"
        nodes.append(
            Node(cells_to_paste, ["coco_train", "unified_images", "params:regimen"], "cutouts", name="cells_to_paste")
        )
    template = Pipeline(
        [
            *nodes,
            Node(train, training_inputs, ["model", "history", "run_id"], name="train"),
            Node(
                predict,
                ["model", scored, "unified_images", "params:evaluation"],
                ["predictions", "speed"],
                name="predict",
                tags=["inference"],
            ),
            Node(
                score,
                [
                    scored,
                    "coco_train",
                    "coco_val",
                    "predictions",
                    "speed",
                    "model",
                    "run_id",
                    "unified_summary",
                    "params:evaluation",
                    "params:seed",
                    "params:regimen",
                ],
                "metrics",
                name="score",
            ),
            Node(
                draw,
                [scored, "predictions", "unified_images", "metrics", "run_id"],
                ["predictions_figure", "failures_figure", "curves_figure"],
                name="draw",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=name,
        inputs={dataset: dataset for dataset in _SHARED} | mapping,
        parameters={
            "params:regimen": f"params:regimens.{name}",
            "params:evaluation": "params:evaluation",
            "params:seed": "params:seed",
        },
    )


def _own_images(regimen: str | None) -> Pipeline:
    model = {} if regimen is None else {"model": f"{regimen}.model"}
    node = Node(
        detect_with_shipped if regimen is None else detect_own_images,
        [*model, "params:detection", "own_images_work", "own_detection_folder"],
        ["own_detection_cells", "own_detection_counts", "own_detection_rejects", "own_detection_report"],
        name="detect_own_images",
        tags=["inference"],
    )
    return Pipeline([node], inputs=model)
