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
    reader = crop_reader(options)
    owner = reader.published_set or source  # an entry may be another view of a set, with a name of its own
    given = ["raw_folder"] if reader.reads_files else []
    given += ["image_index", "raw_annotations"] if reader.reads_tables else []
    inputs = {
        "options": f"params:morphology.cells.{source}",
        "side_px": "params:morphology.side_px",
        "seed": "params:seed",
        "on_bad_input": "params:on_bad_input",
        "source": f"params:morphology.cells.{source}.name",
        **{name: f"{owner}.{name}" for name in given},
    }
    if reader.reads_tables:
        inputs["image_groups"] = "image_groups"
    node = Node(
        cut_cells, inputs, [f"{source}.cells", f"{source}.cells_rejects"], name=f"{source}.cut_cells", tags=["cells"]
    )
    counted = Node(
        count_cells, f"{source}.cells", f"{source}.cell_counts", name=f"{source}.count_cells", tags=["cells"]
    )
    return Pipeline([node, counted])


def _segmenter(name: str, segmenter: Segmenter) -> Pipeline:
    source = segmenter.source
    options = f"params:morphology.segmenters.{name}"
    return Pipeline(
        [
            Node(
                train_segmenter,
                [f"{source}.cells", f"{name}.work_folder", options, f"{options}.name"],
                [f"{name}.model", f"{name}.history", f"{name}.metrics", f"{name}.test_rows", f"{name}.run_id"],
                name="train",
                namespace=name,
            ),
            Node(
                draw_masks,
                [f"{source}.cells", f"{name}.model", f"{name}.test_rows", f"{name}.run_id"],
                f"{name}.masks_figure",
                name="draw",
                namespace=name,
            ),
        ]
    )


def _classifier(name: str, variant: Classifier) -> Pipeline:
    cells, options = f"{variant.source}.cells", f"params:morphology.classifiers.{name}"
    masks = {"segmenter": f"{variant.masks_from}.model"} if variant.masks_from else {}
    return Pipeline(
        [
            Node(
                train_classifier,
                {"cells": cells, "work_folder": f"{name}.work_folder", "options": options, **masks},
                [f"{name}.{part}" for part in ("model", "run_predictions", "history", "facts", "run_id")],
                name="train",
                namespace=name,
            ),
            Node(
                score_classifier,
                [f"{name}.run_predictions", f"{name}.facts", options, f"{name}.run_id", "params:seed"],
                [f"{name}.metrics", f"{name}.smear_findings"],
                name="score",
                namespace=name,
            ),
            Node(
                draw_classifier,
                {
                    "cells": cells,
                    "model": f"{name}.model",
                    "predictions": f"{name}.run_predictions",
                    "metrics": f"{name}.metrics",
                    "run_id": f"{name}.run_id",
                    **masks,
                },
                [f"{name}.variant_figure", f"{name}.attention_figure"],
                name="draw",
                namespace=name,
            ),
        ]
    )


def _comparison(variants: list[str]) -> Pipeline:
    inputs = {f"{name}__{part}": f"{name}.{part}" for name in variants for part in ("metrics", "facts")}
    return Pipeline(
        [
            Node(
                compare_classifiers,
                {"reference": "params:morphology.reference", **inputs},
                ["classifier_comparison", "comparison_figure"],
                name="compare_classifiers",
            )
        ]
    )
