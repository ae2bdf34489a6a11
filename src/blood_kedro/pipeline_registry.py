"""Finds every pipeline below `pipelines/`; a new folder registers itself."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

# What these train comes with the project: they run by name alone (`make train-shipped`).
_BY_NAME = {"shipped_models"}


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name; `__default__` is the sum of those that a plain `kedro run` is for."""
    pipelines = find_pipelines(raise_errors=True)
    pipelines["__default__"] = sum((each for name, each in pipelines.items() if name not in _BY_NAME), Pipeline([]))
    return pipelines
