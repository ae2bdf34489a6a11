"""Wiring of the shipped models: one namespace per training; not part of what `kedro run` does by itself."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro import configured
from blood_kedro.pipelines.shipped_models.cells import gather_pictures, join_scores, judge_cells, ship_cells, train


def create_pipeline(**_: object) -> Pipeline:
    """The cell detector: once without each left-out set of laboratories, judged on these, and once on all."""
    names = configured.shipped_cell_trainings()
    gathered = Node(
        gather_pictures, ["raw_root", "params:shipped.pictures"], ["shipped_pictures", "shipped_rejects"],
        name="gather_pictures",
    )  # fmt: skip
    scores, scales = ([f"{name}.{kind}" for name in names] for kind in ("scores", "scales"))
    joined = [
        Node(join_scores, scores, "shipped_cells_scores", name="join_cell_scores"),
        Node(join_scores, scales, "shipped_cells_scales", name="join_cell_scales"),
    ]
    shipped = Node(
        ship_cells, ["cells_all.model", "shipped_cells_scores", "shipped_cells_scales"], "shipped_cells", name="ship_cells"
    )
    return sum((_training(name) for name in names), Pipeline([gathered, *joined, shipped]))


def _training(name: str) -> Pipeline:
    template = Pipeline(
        [
            Node(
                train, ["shipped_pictures", "params:recipe", "params:left_out", "params:pictures", "work_folder"],
                ["model", "history", "run_id"], name="train",
            ),
            Node(
                judge_cells, ["model", "shipped_pictures", "params:judging", "run_id"],
                ["scores", "scales"], name="judge",
            ),
        ]
    )  # fmt: skip
    return Pipeline(
        template,
        namespace=name,
        inputs={"shipped_pictures": "shipped_pictures"},
        parameters={
            "params:recipe": "params:shipped.cells.recipe",
            "params:left_out": f"params:shipped.cells.trainings.{name}",
            "params:pictures": "params:shipped.pictures",
            "params:judging": "params:shipped.cells.judging",
        },
    )
