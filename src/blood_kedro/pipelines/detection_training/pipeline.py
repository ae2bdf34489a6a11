"""Wiring of detection training: one namespace per regimen, one template for all."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro import configured
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

_SHARED = {"coco_train", "coco_val", "unified_images", "unified_summary"}


def create_pipeline(**_: object) -> Pipeline:
    """Train, predict and score every enabled regimen; or look at a user's own images with a trained one."""
    if configured.detects_own_images():
        return _own_images()
    names = configured.regimens()
    regimens = [_regimen(name) for name in names]
    if any(configured.starts_from_generated_smears(name) for name in names):
        regimens.insert(0, _pretraining())
    return sum(regimens, Pipeline([]))


def _pretraining() -> Pipeline:
    node = Node(pretrain, ["work_folder", "params:pretraining", "params:seed"], ["model", "history"], name="pretrain")
    return Pipeline([node], namespace="pretraining", parameters={p: p for p in ("params:pretraining", "params:seed")})


def _regimen(name: str) -> Pipeline:
    training_inputs = {
        "coco_train": "coco_train",
        "coco_val": "coco_val",
        "images": "unified_images",
        "work_folder": "work_folder",
        "regimen": "params:regimen",
    }
    scored = f"coco_{configured.scored_split()}"
    mapping = {scored: scored}
    nodes = []
    if configured.starts_from_generated_smears(name):
        training_inputs["pretrained"] = "pretrained"
        mapping["pretrained"] = "pretraining.model"
    if configured.pastes_cells(name):
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


def _own_images() -> Pipeline:
    regimen = configured.own_detector()
    model = [] if regimen is None else [f"{regimen}.model"]
    node = Node(
        detect_with_shipped if regimen is None else detect_own_images,
        [*model, "params:detection", "own_images_work", "own_detection_folder"],
        ["own_detection_cells", "own_detection_counts", "own_detection_rejects", "own_detection_report"],
        name="detect_own_images",
        tags=["inference"],
    )
    return Pipeline([node])
