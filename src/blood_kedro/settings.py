"""Kedro settings: hooks, and how configuration is found and merged."""

import os

# Before anything imports MLflow, which has no other switch. It accepts only the word "true"
# (docs/facts/versions.md#telemetry).
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Models are code plus safetensors: refuse pickles also when loading.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# It sets the level of its loggers itself, whatever conf/logging.yml says.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kedro.utils import find_kedro_project

from blood_kedro.environments import EnvironmentConfigLoader
from blood_kedro.mlflow_plugin import hold_commands_back, import_plugin

# Kedro reads this file before all else, and no library of this project does: what it sets holds for a run.
# Kedro 1.7 calls what omegaconf 2.4 renamed: https://github.com/hydra-ecosystem/omegaconf/issues/426
warnings.filterwarnings("ignore", message="(?s).*register_new_resolver")
hold_commands_back()
# Kedro says so of names that it makes itself, wherever a namespace reads a dataset of another one. That none is written
# by hand is held by tests/architecture/test_pipelines.py.
warnings.filterwarnings("ignore", message=r".*dataset names contain '\.' characters")


def absolute(path: str) -> str:
    """A path of configuration, relative to the project, as an absolute one (notebooks run elsewhere)."""
    root = find_kedro_project(Path.cwd()) or Path.cwd()
    return str((Path(root) / path).absolute())


def from_environment(name: str, default: str) -> str:
    """An environment variable, or a default."""
    return os.environ.get(name) or default


@cache
def _hooks() -> tuple[object, ...]:
    import_plugin()
    from blood_kedro.hooks import MlflowRunGuard, RunRecord, SessionPlan, StaleRuns, TrackingStore
    from blood_kedro.records import ResultRecords
    from blood_kedro.run_log import RunLines

    # Hooks of a later entry run first. The guard's order is set by tryfirst/trylast, not by this tuple.
    return SessionPlan(), TrackingStore(), MlflowRunGuard(), RunRecord(), StaleRuns(), ResultRecords(), RunLines()


class _HooksOfSessions:
    """Hooks that are made when a session asks for them: most commands have none, and need neither MLflow nor pandas."""

    def __iter__(self) -> Iterator[object]:
        return iter(_hooks())


HOOKS = _HooksOfSessions()
CONFIG_LOADER_CLASS = EnvironmentConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # An environment changes single keys; without "soft" it would replace whole top-level entries.
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"absolute": absolute, "from_environment": from_environment},
}
