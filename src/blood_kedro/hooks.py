"""What surrounds a run: names of namespaces, the state of MLflow runs, and a record of what was run."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from blood_kedro import configured
from blood_kedro.environments import name_of
from blood_kedro.library.core.git import commit_of
from blood_kedro.tracking import TAGS

logger = logging.getLogger(__name__)

PROCESS_TAG = f"{TAGS}process"


class ConfiguredNames:
    """Lets the pipelines have one namespace for each configured source and regimen."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Hand over the merged parameters, repetitions written out, before the pipelines are built."""
        parameters = configured.complete(dict(context.config_loader["parameters"]))
        context.config_loader["parameters"] = parameters
        configured.set_from(parameters)


class MlflowRunGuard:
    """Ends MLflow runs with the right state.

    kedro-mlflow opens the parent run and pops it once, which leaves runs open after Ctrl-C or SIGTERM, and lets a
    second session in one process log into the first one's run (facts-versions.md, section 1).
    """

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Turn SIGTERM into an exit, so that it is noticed, and drain whatever is open at the end of the process."""
        try:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        except ValueError:
            logger.debug("not in the main thread: SIGTERM keeps its handler")
        atexit.register(self._drain, "KILLED")

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """A finished pipeline leaves no run open."""
        self._drain("FINISHED")

    @hook_impl(trylast=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """A failed one neither."""
        self._drain("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    @staticmethod
    def _drain(status: str) -> None:
        if "mlflow" not in sys.modules:
            return
        import mlflow

        while mlflow.active_run():
            mlflow.end_run(status)


class StaleRuns:
    """Marks runs KILLED whose process died without a word (kill -9, power)."""

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Name this process on its run, and close the runs of dead processes of this machine."""
        import mlflow

        run = mlflow.active_run()
        if run is None:
            return
        mlflow.set_tag(PROCESS_TAG, f"{socket.gethostname()}:{os.getpid()}")
        client = mlflow.MlflowClient()
        running = client.search_runs([run.info.experiment_id], "attributes.status = 'RUNNING'")
        dead = {r.info.run_id for r in running if self._is_dead(r.data.tags.get(PROCESS_TAG))}
        for other in running:
            if other.info.run_id in dead or other.data.tags.get("mlflow.parentRunId") in dead:
                client.set_terminated(other.info.run_id, "KILLED")

    @staticmethod
    def _is_dead(process: str | None) -> bool:
        host, _, number = (process or "").rpartition(":")
        if host != socket.gethostname() or int(number) == os.getpid():
            return False
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class RunRecord:
    """Adds `run_record` to the catalog: environment, commit, versions, start, MLflow run (for report and summary)."""

    def __init__(self) -> None:
        self._environment = ""
        self._project = self._results = Path.cwd()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where and as what we run."""
        self._environment = name_of(context.env)
        self._project = Path(str(context.project_path))
        self._results = self._project / context.config_loader["globals"]["results_root"]

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Put the record where the reporting pipeline reads it."""
        import mlflow

        run = mlflow.active_run()
        record: dict[str, Any] = {
            "env": self._environment,
            "started": time.time(),
            "git_commit": commit_of(self._project),
            "mlflow_run_id": run.info.run_id if run else None,
            "versions": {name: version(name) for name in _REPORTED},
            "python": sys.version.split()[0],
            "machine": {"cpus": os.cpu_count(), "gpu": _gpu_name()},
        }
        catalog["run_record"] = record
        if run:
            mlflow.set_tags({f"{TAGS}environment": self._environment, f"{TAGS}commit": record["git_commit"] or "none"})

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say where to look."""
        report = self._results / "08_reporting" / "report.html"
        if report.is_file():
            logger.info("report:    %s", report)
            logger.info("mlflow UI: make mlflow")
            logger.info("lineage:   make viz")


_REPORTED = ("blood-kedro", "kedro", "mlflow", "torch", "torchvision", "lightning", "pandas", "numpy", "pycocotools")


def _gpu_name() -> str | None:
    if "torch" not in sys.modules:
        return None
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
