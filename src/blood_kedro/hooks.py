"""What surrounds a run: its plan, the state of MLflow runs, and a record of what was run."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog

from blood_kedro import tracking_store
from blood_kedro.environments import name_of, parameters_of_files
from blood_kedro.experiments import has_own_pictures, present_run, run_name, with_experiment
from blood_kedro.library.core.errors import BloodKedroError, TrackingError
from blood_kedro.library.core.git import commit_of
from blood_kedro.mishaps import as_ours
from blood_kedro.tracking import TAGS, log_parameters

logger = logging.getLogger(__name__)

PROCESS_TAG = f"{TAGS}process"


class SessionPlan:
    """Checks all parameters before anything runs, and has the pipelines built of them."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Build the plan of the session; `params:` datasets see its parameters, everything short written out.

        Raises:
            ConfigurationError: a file or `--params` has a key that nothing reads, or a value that cannot be meant.
        """
        from blood_kedro.plan import build_completed, handed_over
        from blood_kedro.plan.keys import check_given

        loader = context.config_loader
        given = dict(loader.runtime_params or {})
        if given:
            check_given(given, parameters_of_files(str(loader.conf_source), context.env))
        parameters = loader["parameters"]
        # Kedro keeps the pipelines of the process: those of an earlier session are forgotten.
        pipelines.configure(f"{__package__}.pipeline_registry")
        with handed_over(build_completed(parameters)):
            len(pipelines)  # Kedro registers them when they are first looked at


class TrackingStore:
    """Sees that runs can be tracked before any is begun, and lets one run at a time make the tables of a database."""

    def __init__(self) -> None:
        self._uri = ""

    @hook_impl(wrapper=True)
    def after_context_created(self, context: KedroContext) -> Generator[None, None, None]:
        """Around all others: kedro-mlflow asks the store for the experiment in its own.

        Raises:
            TrackingError: the store is away, broken, locked or cannot be written to.
        """
        loader = context.config_loader
        loader["mlflow"] = with_experiment(loader["mlflow"], loader["parameters"])
        self._uri = str(loader["mlflow"]["server"]["mlflow_tracking_uri"])
        if not self._uri.startswith("http"):
            import mlflow.store.db.utils

            mlflow.store.db.utils.MAX_RETRY_COUNT = 3  # ten take two minutes, and a wrong password stays wrong
        with self._mishaps_are_ours():
            tracking_store.check(self._uri)
            with tracking_store.impatient(), tracking_store.sole_creator(self._uri):
                return (yield)

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Generator[None, None, None]:
        """The parent run is begun in kedro-mlflow's own."""
        with self._mishaps_are_ours(), tracking_store.impatient():
            return (yield)

    @hook_impl(wrapper=True)
    def on_pipeline_error(self, error: Exception) -> Generator[None, None, None]:
        """When all others have put things in order, say what to do, where that is known."""
        try:
            with tracking_store.impatient():
                yield
        except Exception as further:  # in the same disk or server, most often: the first one is to be shown
            logger.error("the run could not be closed: %s", further)
        ours = as_ours(error)
        if ours is not None and ours is not error:
            raise ours from error

    @contextmanager
    def _mishaps_are_ours(self) -> Iterator[None]:
        try:
            yield
        except BloodKedroError:
            raise
        except Exception as error:
            ours = as_ours(error)
            if ours is None:
                raise
            if isinstance(ours, TrackingError) and not ours.where:
                ours = TrackingError(ours.what, where=self._uri, got=ours.got, remedy=ours.remedy)
            raise ours from error


class MlflowRunGuard:
    """Ends MLflow runs with the right state.

    kedro-mlflow opens the parent run and pops it once, which leaves runs open after Ctrl-C or SIGTERM, and lets a
    second session in one process log into the first one's run (docs/facts/versions.md#mlflow-runs).
    """

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Turn SIGTERM into an exit, so that it is noticed, and drain whatever is open at the end of the process.

        First of all, so that no run is begun that a signal could leave open; the same holds for a terminal that closes.
        """
        try:
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:  # nohup's is kept
                    signal.signal(number, lambda signal_number, _: sys.exit(128 + signal_number))
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
            try:
                with nullcontext() if status == "FINISHED" else tracking_store.impatient():
                    mlflow.end_run(status)
            except Exception as error:  # a full disk, a server that has gone: the first error is to be shown, not this
                logger.error("MLflow could not be told that the run is %s: %s", status, error)
                return


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
    """Adds `run_record` to the catalog, for report and summary: environment, commit, versions, start, parameters, run.

    Parameters are logged here, all at once: of a node that takes `parameters`, kedro-mlflow would write each of the
    1,200 in a transaction of its own, which took 13 s.
    """

    def __init__(self) -> None:
        self._environment = ""
        self._project = Path.cwd()
        self._own_pictures = False
        self._parameters: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where and as what we run."""
        self._environment = name_of(context.env)
        self._project = Path(str(context.project_path))
        self._parameters = context.config_loader["parameters"]
        self._own_pictures = has_own_pictures(self._parameters)

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Put the record where reporting reads it; name the run in MLflow, with all parameters."""
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
            "parameters": self._parameters,
        }
        catalog["run_record"] = record
        if run:
            name = run_name(self._environment, run_params, of_user=self._own_pictures)
            tags = {f"{TAGS}environment": self._environment, f"{TAGS}commit": record["git_commit"] or "none"}
            present_run(run.info.experiment_id, name, tags)
            log_parameters({"parameters": self._parameters})


_REPORTED = ("blood-kedro", "kedro", "mlflow", "torch", "torchvision", "lightning", "pandas", "numpy", "pycocotools")


def _gpu_name() -> str | None:
    if "torch" not in sys.modules:
        return None
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
