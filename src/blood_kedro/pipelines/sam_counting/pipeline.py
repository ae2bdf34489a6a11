"""Wiring of sam_counting: one namespace per set of cutouts, per classifier of them, and per input that is counted."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.pipelines.sam_counting.nodes import count_smears, cut_cutouts, present_own_smear, train_kinds
from blood_kedro.plan import Plan

_OF_SOURCE = ("image_index", "raw_annotations")


def create_pipeline(plan: Plan) -> Pipeline:
    """Cutouts, classifiers, counts. For a smear of the user's own: its count alone, by classifiers of earlier runs."""
    parts = [_input(name, options, is_own=plan.counts_own_smear) for name, options in plan.counted_inputs.items()]
    if not plan.counts_own_smear:
        parts += [_cutouts(name, options) for name, options in plan.cutout_sets.items()]
        parts += [_classifier(name, options) for name, options in plan.kind_classifiers.items()]
    return sum(parts, Pipeline([]))


def _cutouts(name: str, options: CutoutOptions) -> Pipeline:
    source = options.source
    inputs = {
        "folder": f"{name}.cells_folder",
        "options": f"params:sam_counting.cutouts.{name}",
        "raw_folder": f"{source}.raw_folder",
        "on_bad_input": "params:on_bad_input",
    }
    if options.reader != "published":
        inputs |= {part: f"{source}.{part}" for part in _OF_SOURCE} | {"image_groups": "image_groups"}
    node = Node(cut_cutouts, inputs, [f"{name}.cells", f"{name}.cells_rejects"], name="cut", namespace=name)
    return Pipeline([node])


def _classifier(name: str, options: KindClassifier) -> Pipeline:
    first = options.cutouts[0]
    inputs = {
        "options": f"params:sam_counting.classifiers.{name}",
        "work_folder": f"{name}.work_folder",
        "first_cutouts": f"params:sam_counting.cutouts.{first}",
        **{each: f"{each}.cells" for each in options.cutouts},
    }
    if options.first_weights.model:
        inputs["start"] = f"{options.first_weights.model}.model"
    outputs = [f"{name}.{part}" for part in ("model", "answers", "search", "history", "metrics", "kinds_figure")]
    return Pipeline([Node(train_kinds, inputs, outputs, name="train", namespace=name)])


def _input(name: str, options: SmearInput, *, is_own: bool) -> Pipeline:
    source = options.source
    inputs = {
        "options": f"params:sam_counting.inputs.{name}",
        "work_folder": f"{name}.counting_work",
        "output_folder": f"{name}.counting_masks",
    }
    if source:
        inputs |= {part: f"{source}.{part}" for part in ("raw_folder", *_OF_SOURCE)} | {"image_groups": "image_groups"}
    if options.classifier:
        inputs["classifier"] = f"{options.classifier}.model"
    parts = ("counts", "counted_cells", "fields", "count_totals", "count_figure", "count_rejects")
    node = Node(
        count_smears, inputs, [f"{name}.{part}" for part in parts], name="count", namespace=name, tags=["inference"]
    )
    page = Node(
        present_own_smear,
        {
            "counts": f"{name}.counts",
            "cells": f"{name}.counted_cells",
            "rejects": f"{name}.count_rejects",
            "options": f"params:sam_counting.inputs.{name}",
            "work_folder": f"{name}.counting_work",
            "report_folder": "own_count_folder",
            **{k: v for k, v in inputs.items() if k == "classifier"},
        },
        "own_count_report",
        name="present_own_smear",
        tags=["inference"],
    )
    return Pipeline([node, page] if is_own else [node])
