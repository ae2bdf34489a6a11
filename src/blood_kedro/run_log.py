"""What a run says: one line for each finished step, and at the end where to look, what was written last as the last."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from blood_kedro.experiments import link_of
from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.logs import duration

logger = logging.getLogger(__name__)

# Figures that tell a result in one number, the most telling first: key in a dictionary of measures, and how it is said.
_TELLING = {
    "map_50": "AP50 {:.3f}",
    "iou": "IoU {:.3f}",
    "accuracy": "accuracy {:.3f}",
    "rbc": "{:,.0f} red cells",
    "images": "{:,.0f} images",
    "crops": "{:,.0f} crops",
}
_REPORT = "report"


def telling_figure(outputs: Mapping[str, Any]) -> str:
    """The one figure by which what a step has made is told: `metrics: AP50 0.516`; empty where there is none.

    Args:
        outputs: by name of their dataset.
    """
    for name, value in outputs.items():
        measures = value.get("against_labels", value) if isinstance(value, dict) else {}
        for key, words in _TELLING.items():
            number = measures.get(key)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return f"{name.rpartition('.')[2]}: {words.format(number)}"
    for name, value in outputs.items():
        if isinstance(value, CropSet):
            return f"{name.rpartition('.')[2]}: {len(value.table):,} crops"
        if isinstance(value, pd.DataFrame):
            return f"{name.rpartition('.')[2]}: {len(value):,} rows"
    return ""


class RunLines:
    """Says what runs: Kedro's own lines have neither seconds nor figures, and take two lines for each step."""

    def __init__(self) -> None:
        self._project = Path.cwd()
        self._steps = self._done = self._written = 0
        self._start = 0.0
        self._began: dict[str, float] = {}
        self._catalog: DataCatalog | None = None
        self._last: Path | None = None
        self._report: Path | None = None
        self._link = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where we run."""
        self._project = Path(str(context.project_path))

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Count the steps, and note the link to the run while it is open."""
        self._steps, self._done, self._written = len(pipeline.nodes), 0, 0
        self._start, self._catalog, self._last, self._report = time.perf_counter(), catalog, None, None
        self._link = link_of()
        logger.info("%d steps", self._steps)

    @hook_impl(trylast=True)
    def before_node_run(self, node: Node) -> None:
        """Start the clock of a step."""
        self._began[node.name] = time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """One line, with seconds and a figure; saving comes after it."""
        self._done += 1
        seconds = duration(time.perf_counter() - self._began.pop(node.name, time.perf_counter()))
        width = len(str(self._steps))
        told = telling_figure(outputs)
        logger.info("%*d/%d %s: %s%s", width, self._done, self._steps, node.name, seconds, f", {told}" if told else "")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Remember what was written last."""
        dataset = None if self._catalog is None else self._catalog.get(dataset_name)
        path = getattr(dataset, "_filepath", None)
        if path is not None:
            self._written += 1
            self._last = Path(str(path))
            self._report = self._last if dataset_name == _REPORT else self._report

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say where to look."""
        seconds = duration(time.perf_counter() - self._start)
        logger.info("finished in %s: %d steps, %d results written", seconds, self._done, self._written)
        if self._link:
            logger.info("MLflow:  %s", self._link)
        logger.info("lineage: make viz")
        if self._report is not None:
            logger.info("report:  %s", self._report)
        elif self._last is not None:
            logger.info("written last: %s", self._last)
