"""Wiring of reporting: reads saved results only; what is not there yet, or not of this corpus, is left out.

A new pipeline adds its results by one entry in `_results`, its name in `library/reporting/same_data.py`, and a section.
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from blood_kedro.pipelines.reporting.nodes import draw_loss_chart, draw_losses, gather, summarize, write_report
from blood_kedro.plan import Plan
from blood_kedro.plan.sections import enabled

_PER_SOURCE = ("ingestion_summary", "boxes_summary", "rejects", "standardization_rejects")
_PER_REGIMEN = ("metrics", "history", "predictions_figure", "failures_figure", "curves_figure")
_PER_CLASSIFIER = ("metrics", "variant_figure", "attention_figure", "smear_findings")
# Dataset of a namespace that holds what the report takes of it.
_GATHERED = "{}.report_parts"
_UNIFIED = ("unified_summary", "composition_table", "class_table", "merging_rejects")


def create_pipeline(plan: Plan) -> Pipeline:
    """Loss figure, summary.json and report.html.

    What the report takes of a namespace is gathered in it: lineage then shows one dataset of each, not all of them.
    """
    results = _results(plan)
    # Cells of a source are cut outside its namespace (pipelines/rbc_morphology), which must not be entered again.
    apart = tuple(f"cells__{name}__" for name in enabled(plan.morphology.cells))
    of_all = {name: dataset for name, dataset in results.items() if "." not in dataset or name.startswith(apart)}
    namespaces: dict[str, dict[str, str]] = {}
    for argument, dataset in results.items():
        if argument not in of_all:
            namespace, _, part = dataset.partition(".")
            namespaces.setdefault(namespace, {})[argument] = part
    gathered = {name: _GATHERED.format(name) for name in namespaces}
    known = {"run_record": "run_record", "result_records": "result_records"}
    histories = {name: gathered[name] for name in plan.enabled_regimens}
    report = Pipeline(
        [
            Node(draw_losses, {**known, **histories}, "loss_figure", name="draw_losses"),
            Node(draw_loss_chart, {**known, **histories}, "loss_chart", name="draw_loss_chart"),
            Node(summarize, {**known, **of_all, **gathered}, "summary", name="summarize"),
            Node(
                write_report,
                {"summary": "summary", "loss_figure": "loss_figure", **known, **of_all, **gathered},
                "report",
                name="write_report",
            ),
        ]
    )
    return sum((_gathering(name, parts) for name, parts in namespaces.items()), report)


def _gathering(namespace: str, parts: dict[str, str]) -> Pipeline:
    """What the report takes of a namespace: its datasets, by argument name."""
    node = Node(gather, parts, "report_parts", name="gather")
    return Pipeline([node], namespace=namespace)


def _results(plan: Plan) -> dict[str, str]:
    """Argument name of the nodes to dataset: `<section>__<part>` or `<section>__<namespace>__<part>`."""
    datasets = {f"unified__{part}": part for part in _UNIFIED}
    for source in plan.enabled_sources:
        datasets |= {f"sources__{source}__{part}": f"{source}.{part}" for part in _PER_SOURCE}
    for regimen in plan.enabled_regimens:
        datasets |= {f"regimens__{regimen}__{part}": f"{regimen}.{part}" for part in _PER_REGIMEN}
    for name in enabled(plan.morphology.cells):
        datasets |= {f"cells__{name}__{part}": f"{name}.{part}" for part in ("cells_rejects", "cell_counts")}
    for name in enabled(plan.morphology.segmenters):
        datasets |= {f"segmenters__{name}__{part}": f"{name}.{part}" for part in ("metrics", "masks_figure")}
    for name in enabled(plan.morphology.classifiers):
        datasets |= {f"classifiers__{name}__{part}": f"{name}.{part}" for part in _PER_CLASSIFIER}
    if enabled(plan.morphology.classifiers):
        datasets |= {f"morphology__{part}": part for part in ("classifier_comparison", "comparison_figure")}
    for name in plan.overlap_crops:
        datasets |= {f"overlap_crops__{name}__{part}": f"{name}.{part}" for part in ("label_facts", "crops_figure")}
        datasets[f"cells__{name}__cells_rejects"] = f"{name}.cells_rejects"
    for name in plan.overlap_classifiers:
        datasets |= {f"overlap_classifiers__{name}__{part}": f"{name}.{part}" for part in ("metrics", "overlap_figure")}
    for name in plan.cutout_sets:
        datasets[f"cells__{name}__cells_rejects"] = f"{name}.cells_rejects"
    for name in plan.kind_classifiers:
        datasets |= {f"kind_classifiers__{name}__{part}": f"{name}.{part}" for part in ("metrics", "kinds_figure")}
    for name in plan.counted_inputs:
        datasets |= {f"smear_inputs__{name}__{part}": f"{name}.{part}" for part in ("count_totals", "count_figure")}
        datasets[f"cells__{name}__count_rejects"] = f"{name}.count_rejects"
    return datasets
