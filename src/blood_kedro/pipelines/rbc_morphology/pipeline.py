"""Wiring of rbc_morphology: cells per source, one namespace per segmenter and per variant of the classifier."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.assembly.crop_readers import crop_reader
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.pipelines.rbc_morphology.nodes import (
    compare_classifiers,
    count_cells,
    cut_cells,
    draw_classifier,
    draw_masks,
    score_classifier,
    train_classifier,
    train_segmenter,
)
from blood_kedro.plan import Plan
from blood_kedro.plan.sections import enabled


def create_pipeline(plan: Plan) -> Pipeline:
    """Cells, U-Nets, classifiers, their comparison."""
    variants = enabled(plan.morphology.classifiers)
    parts = [_cells(name, options) for name, options in enabled(plan.morphology.cells).items()]
    parts += [_segmenter(name, options) for name, options in enabled(plan.morphology.segmenters).items()]
    parts += [_classifier(name, options) for name, options in variants.items()]
    return sum(parts, _comparison(list(variants)) if variants else Pipeline([]))


def _cells(source: str, options: CellOptions) -> Pipeline:
    """No namespace: some cells need the groups that merging makes of the same source, and Kedro forbids to return."""
    reader = crop_reader(options)
    read = ["raw_folder"] if reader.reads_files else []
    read += ["image_index", "raw_annotations"] if reader.reads_tables else []
    groups = ["image_groups"] if reader.reads_tables else []
    template = Pipeline(
        [
            Node(
                cut_cells,
                {
                    "options": "params:options",
                    "side_px": "params:side_px",
                    "seed": "params:seed",
                    "on_bad_input": "params:on_bad_input",
                    "source": "params:source",
                    **{name: name for name in (*read, *groups)},
                },
                ["cells", "cells_rejects"],
                name=f"{source}.cut_cells",
                tags=["cells"],
            ),
            Node(count_cells, "cells", "cell_counts", name=f"{source}.count_cells", tags=["cells"]),
        ]
    )
    owner = reader.published_set or source  # an entry may be another view of a set, with a name of its own
    return Pipeline(
        template,
        inputs={name: f"{owner}.{name}" for name in read},
        outputs={name: f"{source}.{name}" for name in ("cells", "cells_rejects", "cell_counts")},
        parameters={
            "params:options": f"params:morphology.cells.{source}",
            "params:side_px": "params:morphology.side_px",
            "params:source": f"params:morphology.cells.{source}.name",
        },
    )


def _segmenter(name: str, segmenter: Segmenter) -> Pipeline:
    template = Pipeline(
        [
            Node(
                train_segmenter,
                ["cells", "work_folder", "params:options", "params:name"],
                ["model", "history", "metrics", "test_rows", "run_id"],
                name="train",
            ),
            Node(draw_masks, ["cells", "model", "test_rows", "run_id"], "masks_figure", name="draw"),
        ]
    )
    options = f"params:morphology.segmenters.{name}"
    return Pipeline(
        template,
        namespace=name,
        inputs={"cells": f"{segmenter.source}.cells"},
        parameters={"params:options": options, "params:name": f"{options}.name"},
    )


def _classifier(name: str, variant: Classifier) -> Pipeline:
    masks = {"segmenter": "segmenter"} if variant.masks_from else {}
    template = Pipeline(
        [
            Node(
                train_classifier,
                {"cells": "cells", "work_folder": "work_folder", "options": "params:options", **masks},
                ["model", "run_predictions", "history", "facts", "run_id"],
                name="train",
            ),
            Node(
                score_classifier,
                ["run_predictions", "facts", "params:options", "run_id", "params:seed"],
                ["metrics", "smear_findings"],
                name="score",
            ),
            Node(
                draw_classifier,
                {
                    "cells": "cells",
                    "model": "model",
                    "predictions": "run_predictions",
                    "metrics": "metrics",
                    "run_id": "run_id",
                    **masks,
                },
                ["variant_figure", "attention_figure"],
                name="draw",
            ),
        ]
    )
    inputs = {"cells": f"{variant.source}.cells"}
    if variant.masks_from:
        inputs["segmenter"] = f"{variant.masks_from}.model"
    return Pipeline(
        template,
        namespace=name,
        inputs=inputs,
        parameters={"params:options": f"params:morphology.classifiers.{name}", "params:seed": "params:seed"},
    )


def _comparison(variants: list[str]) -> Pipeline:
    results = {f"{name}__{part}": f"{name}.{part}" for name in variants for part in ("metrics", "facts")}
    node = Node(
        compare_classifiers,
        {"reference": "params:morphology.reference", **{argument: argument for argument in results}},
        ["classifier_comparison", "comparison_figure"],
        name="compare_classifiers",
    )
    return Pipeline([node], inputs=results)
