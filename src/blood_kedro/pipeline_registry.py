"""Finds every pipeline below `pipelines/`; a new folder registers itself. Each is a function of the plan."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from kedro.framework import project
from kedro.pipeline import Pipeline

from blood_kedro import pipelines as folder
from blood_kedro.environments import plan_of_files
from blood_kedro.plan import Plan, lent_plan

# What these train comes with the project: they run by name alone (`make train-shipped`).
_BY_NAME = {"shipped_models"}


def register_pipelines(plan: Plan | None = None) -> dict[str, Pipeline]:
    """All pipelines by name; `__default__` is the sum of those that a plain `kedro run` is for.

    Args:
        plan: None takes that of the session, or outside one that of the project's files.

    Raises:
        ConfigurationError: the plan cannot be built, or a pipeline of it.
    """
    plan = plan or lent_plan() or plan_of_files()
    # What `--pipelines` names; Kedro's own `find_pipelines` reads it, too, but has no place for an argument.
    wanted = project.pipelines._requested_pipelines
    names = [each.name for each in pkgutil.iter_modules(folder.__path__) if each.ispkg]
    if wanted is not None and "__default__" not in wanted:
        names = [name for name in names if name in wanted]
    pipelines: dict[str, Pipeline] = {
        name: import_module(f"{folder.__name__}.{name}").create_pipeline(plan) for name in names
    }
    pipelines["__default__"] = sum((each for name, each in pipelines.items() if name not in _BY_NAME), Pipeline([]))
    return pipelines
