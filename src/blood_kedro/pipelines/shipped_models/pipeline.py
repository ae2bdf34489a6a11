"""Wiring of the shipped models: one namespace per training; not part of what `kedro run` does by itself."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.pipelines.shipped_models.cells import gather_pictures, join_scores, judge_cells, ship_cells, train
from blood_kedro.pipelines.shipped_models.types import gather_types, leave_out_types, ship_types, train_types
from blood_kedro.plan import Plan


def create_pipeline(plan: Plan) -> Pipeline:
    """The cell detector, once without each left-out set of laboratories and once on all; and the classifiers."""
    trainings = plan.shipped.cells.trainings
    gathered = Node(
        gather_pictures,
        ["raw_root", "params:shipped.pictures"],
        ["shipped_pictures", "shipped_rejects"],
        name="gather_pictures",
    )
    parts = [_training(name) for name in trainings] + [_types(name) for name in plan.shipped_types]
    return sum(parts, Pipeline([gathered]) + _joined(list(trainings)))


def _joined(trainings: list[str]) -> Pipeline:
    """The tables of all trainings, and the detector that ships."""
    scores, scales = ({f"{name}__{part}": f"{name}.{part}" for name in trainings} for part in ("scores", "scales"))
    template = Pipeline(
        [
            Node(join_scores, list(scores), "shipped_cells_scores", name="join_cell_scores"),
            Node(join_scores, list(scales), "shipped_cells_scales", name="join_cell_scales"),
            Node(
                ship_cells,
                ["model", "shipped_cells_scores", "shipped_cells_scales"],
                "shipped_cells",
                name="ship_cells",
            ),
        ]
    )
    return Pipeline(template, inputs={"model": "cells_all.model", **scores, **scales})


def _training(name: str) -> Pipeline:
    """Training and judging."""
    inputs = [
        "shipped_pictures",
        "params:recipe",
        "params:training",
        "params:pictures",
        "params:judging",
        "work_folder",
        "params:compute",
    ]
    template = Pipeline(
        [
            Node(train, inputs, ["model", "history", "run_id"], name="train"),
            Node(
                judge_cells,
                ["model", "shipped_pictures", "params:judging", "run_id"],
                ["scores", "scales"],
                name="judge",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=name,
        inputs={"shipped_pictures"},
        parameters={
            "params:recipe": "params:shipped.cells.recipe",
            "params:training": f"params:shipped.cells.trainings.{name}",
            "params:pictures": "params:shipped.pictures",
            "params:judging": "params:shipped.cells.judging",
            "params:compute": "params:shipped.cells.compute",
        },
    )


def _types(name: str) -> Pipeline:
    """A classifier of cells, without each left-out laboratory and on all. Its nodes have its name behind their own."""
    learning = ["typed_cells", "params:options", "work_folder"]
    template = Pipeline(
        [
            Node(gather_types, ["raw_root", "params:options"], ["typed_cells", "type_rejects"], name=f"gather_{name}"),
            Node(train_types, learning, ["model", "type_answers", "type_report"], name=f"train_{name}"),
            Node(leave_out_types, learning, "left_out_report", name=f"leave_out_{name}"),
            Node(ship_types, ["model", "left_out_report"], f"shipped_{name}", name=f"ship_{name}"),
        ]
    )
    results = ("typed_cells", "type_rejects", "model", "type_answers", "type_report", "left_out_report")
    return Pipeline(
        template,
        inputs={"work_folder": f"{name}.work_folder"},
        outputs={part: f"{name}.{part}" for part in results},
        parameters={"params:options": f"params:shipped_types.{name}"},
    )
