"""MLflow's page, opened at the list of runs and not at its landing page: `python -m blood_kedro.mlflow_page 5000`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser

from blood_kedro.experiments import LOSSES, page_of
from blood_kedro.library.core.errors import BloodKedroError
from blood_kedro.ports import check

EXPERIMENT = "blood-kedro"
_STORE = "sqlite:///mlruns.db"
_WAIT_S = 300
# One person looks: one process is enough, and none needs to tell of each picture that it has sent.
_QUIET = ("--workers=1", "--uvicorn-opts=--log-level=warning")
# MLflow 3.17 uses a part of starlette that has been renamed: nobody here can act on it.
_IGNORED = "ignore:starlette.middleware.wsgi is deprecated"
# Where a browser with a window can be opened. Without, a browser of the terminal would take it over.
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def experiment_number(store: str) -> str | None:
    """Number of this project's experiment; None before the first run.

    Args:
        store: address of the tracking store.
    """
    import mlflow

    experiment = mlflow.MlflowClient(store).get_experiment_by_name(EXPERIMENT)
    return None if experiment is None else str(experiment.experiment_id)


def pages(server: str, number: str | None) -> list[str]:
    """Lines that say what there is to see at a server."""
    if number is None:
        return [f"MLflow: {server} (no run yet: make run)"]
    return [f"runs:   {page_of(server, number)}", f"losses: {page_of(server, number, LOSSES)}", "Ctrl-C ends it"]


def _announce(server: str, number: str | None) -> None:
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{server}/health", timeout=2):  # noqa: S310 - our own server
                break
        except OSError:
            time.sleep(0.3)
    else:
        return
    sys.stdout.write("\n".join(pages(server, number)) + "\n")
    sys.stdout.flush()
    if number is not None and (sys.platform in ("darwin", "win32") or any(map(os.environ.get, _DISPLAYS))):
        webbrowser.open(page_of(server, number))


def main() -> None:
    """Serve until Ctrl-C; say in one line what is wrong with the port."""
    try:
        port = check("mlflow", sys.argv[1])
    except BloodKedroError as error:
        sys.exit(f"make mlflow: {error}")
    store = os.environ.get("MLFLOW_TRACKING_URI") or _STORE
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_LOGGING_LEVEL": "WARNING", **os.environ}
    settings["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _IGNORED)))
    os.environ.update(settings)
    server = f"http://127.0.0.1:{port}"
    threading.Thread(target=_announce, args=(server, experiment_number(store)), daemon=True).start()
    command = [sys.executable, "-m", "mlflow", "ui", f"--port={port}", f"--backend-store-uri={store}", *_QUIET]
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with subprocess.Popen(command, env=settings) as serving:  # noqa: S603 - our own arguments
        try:
            status = serving.wait()
        except KeyboardInterrupt:
            status = 0
        finally:
            serving.terminate()
    sys.exit(status)


if __name__ == "__main__":
    main()
