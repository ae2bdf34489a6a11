"""Wiring of sam_counting: one namespace per set of cutouts, per classifier of them, and per input that is counted."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.assembly.namers import check_names
from blood_kedro.assembly.segmenters import segmenter_of
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.pipelines.sam_counting.kinds import cut_cutouts, train_kinds
from blood_kedro.pipelines.sam_counting.nodes import count_cells, name_masks, open_smears, segment_tiles
from blood_kedro.pipelines.sam_counting.results import draw_count, present_own_smear, score_counts
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
    segmenter_of(options, f"sam_counting.cutouts.{name}")  # its segmenter is there, or nothing is begun
    source = options.source
    inputs = {"options": "params:cutouts", "raw_folder": "raw_folder", "on_bad_input": "params:on_bad_input"}
    of_source = {"raw_folder": f"{source}.raw_folder"}
    shared = set()
    if options.reader != "published":
        inputs |= {part: part for part in (*_OF_SOURCE, "image_groups")}
        of_source |= {part: f"{source}.{part}" for part in _OF_SOURCE}
        shared = {"image_groups"}
    node = Node(cut_cutouts, inputs, ["cells", "cells_rejects"], name="cut")
    return Pipeline(
        Pipeline([node]),
        namespace=name,
        inputs=of_source | {each: each for each in shared},
        parameters={
            "params:cutouts": f"params:sam_counting.cutouts.{name}",
            "params:on_bad_input": "params:on_bad_input",
        },
    )


def _classifier(name: str, options: KindClassifier) -> Pipeline:
    cutouts = {each: f"{each}.cells" for each in options.cutouts}
    inputs = {
        "options": "params:classifier",
        "work_folder": "work_folder",
        "first_cutouts": "params:first_cutouts",
        **{each: each for each in cutouts},
    }
    if options.first_weights.model:
        inputs["start"] = "start"
        cutouts["start"] = f"{options.first_weights.model}.model"
    outputs = ["model", "answers", "search", "history", "metrics", "kinds_figure"]
    return Pipeline(
        Pipeline([Node(train_kinds, inputs, outputs, name="train")]),
        namespace=name,
        inputs=cutouts,
        parameters={
            "params:classifier": f"params:sam_counting.classifiers.{name}",
            "params:first_cutouts": f"params:sam_counting.cutouts.{options.cutouts[0]}",
        },
    )


def _input(name: str, options: SmearInput, *, is_own: bool) -> Pipeline:
    """The chain of a count: open, segment, name, count, score, draw; a page besides for a smear of the user's own."""
    check_names(options)
    outer = {"classifier": f"{options.classifier}.model"} if options.classifier else {}
    if options.source:
        outer |= {part: f"{options.source}.{part}" for part in ("raw_folder", *_OF_SOURCE)}
        outer |= {"image_groups": "image_groups"}
    nodes = _chain({part: part for part in outer})
    outputs = {}
    if is_own:
        nodes.append(_page({part: part for part in outer}))
        outer |= {"own_count_folder": "own_count_folder"}
        outputs = {"own_count_report": "own_count_report"}
    return Pipeline(
        Pipeline(nodes),
        namespace=name,
        inputs=outer,
        outputs=outputs,
        parameters={"params:input": f"params:sam_counting.inputs.{name}"},
    )


def _chain(outer: dict[str, str]) -> list[Node]:
    options = {"options": "params:input"}
    opened = options | {"tiles": "tiles", "work_folder": "counting_work"}
    segmented = opened | {"segmented": "segmented"}
    run = {"run_id": "count_run_id"}

    def optional(*names: str) -> dict[str, str]:
        return {name: outer[name] for name in names if name in outer}

    tags = ["inference"]
    return [
        Node(
            open_smears,
            options
            | {"work_folder": "counting_work"}
            | optional("classifier", "raw_folder", "image_index", "image_groups"),
            ["tiles", "field_choice", "judges", "open_rejects", "count_run_id"],
            name="open",
            tags=tags,
        ),
        Node(
            segment_tiles,
            opened | run | {"open_rejects": "open_rejects"},
            ["segmented", "count_rejects"],
            name="segment",
            tags=tags,
        ),
        Node(name_masks, segmented | run | optional("classifier"), "mask_kinds", name="name", tags=tags),
        Node(
            count_cells,
            segmented | run | {"kinds": "mask_kinds"},
            ["smear_counts", "counted_cells", "cell_masks", "fields"],
            name="count",
            tags=tags,
        ),
        Node(
            score_counts,
            segmented
            | {"smear_counts": "smear_counts", "judges": "judges"}
            | run
            | optional("image_index", "raw_annotations", "image_groups"),
            ["counts", "count_totals"],
            name="score",
            tags=tags,
        ),
        Node(
            draw_count,
            segmented
            | {"smear_counts": "smear_counts", "counts": "counts", "cells": "counted_cells", "masks": "cell_masks"}
            | {"masks_folder": "counting_masks"}
            | run,
            ["count_figure", "count_masks"],
            name="draw",
            tags=tags,
        ),
    ]


def _page(outer: dict[str, str]) -> Node:
    inputs = {name: name for name in ("tiles", "segmented", "smear_counts")}
    inputs |= {"options": "params:input", "cells": "counted_cells", "rejects": "count_rejects"}
    inputs |= {"work_folder": "counting_work", "masks_folder": "count_masks", "report_folder": "own_count_folder"}
    inputs |= {name: name for name in outer if name == "classifier"}
    return Node(present_own_smear, inputs, "own_count_report", name="present_own_smear", tags=["inference"])
