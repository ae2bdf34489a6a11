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
    scores, scales = ([f"{name}.{kind}" for name in trainings] for kind in ("scores", "scales"))
    ending = [
        gathered,
        Node(join_scores, scores, "shipped_cells_scores", name="join_cell_scores"),
        Node(join_scores, scales, "shipped_cells_scales", name="join_cell_scales"),
        Node(
            ship_cells,
            ["cells_all.model", "shipped_cells_scores", "shipped_cells_scales"],
            "shipped_cells",
            name="ship_cells",
        ),
    ]
    detectors = map(_training, trainings)
    return sum((*detectors, *map(_types, plan.shipped_types)), Pipeline(ending))


def _training(name: str) -> Pipeline:
    """Training and judging."""
    inputs = [
        "shipped_pictures",
        "params:recipe",
        "params:training",
        "params:pictures",
        "params:judging",
        "work_folder",
        "params:hardware",
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
            "params:hardware": "params:shipped.hardware",
        },
    )


def _types(name: str) -> Pipeline:
    """A classifier of cells, without each left-out laboratory and on all."""
    options = f"params:shipped_types.{name}"
    return Pipeline(
        [
            Node(
                gather_types,
                ["raw_root", options],
                [f"{name}.typed_cells", f"{name}.type_rejects"],
                name=f"gather_{name}",
            ),
            Node(
                train_types,
                [f"{name}.typed_cells", options, f"{name}.work_folder", "params:shipped.hardware"],
                [f"{name}.model", f"{name}.type_answers", f"{name}.type_report"],
                name=f"train_{name}",
            ),
            Node(
                leave_out_types,
                [f"{name}.typed_cells", options, f"{name}.work_folder", "params:shipped.hardware"],
                f"{name}.left_out_report",
                name=f"leave_out_{name}",
            ),
            Node(ship_types, [f"{name}.model", f"{name}.left_out_report"], f"shipped_{name}", name=f"ship_{name}"),
        ]
    )
