"""MLflow for nodes that train: child runs, metrics and models. The only place besides hooks.py that knows MLflow."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blood_kedro.environments import BASE
from blood_kedro.library.core.errors import WeightsNotFoundError
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.serving.table import FOLDER, SERVED, ModelKind, input_example, signature

TAGS = "blood_kedro."
REGISTERED = "blood-kedro-"
_PARTS = ("train_", "val_", "test_", "best_")


@contextmanager
def child_run(name: str, kind: str) -> Iterator[str]:
    """Open a run below the active one and yield its id; an exception leaves it FAILED, an interrupt KILLED.

    It is tagged with what it trains or does (`kind`), its name, and the environment and commit of the parent, so that
    the runs of a kind can be filtered and compared.
    """
    with _run(run_name=name, tags={"regimen": name, f"{TAGS}kind": kind, **_tags_of_parent()}) as run_id:
        yield run_id


def _tags_of_parent() -> dict[str, str]:
    import mlflow

    parent = mlflow.active_run()
    if parent is None:
        return {}
    tags = mlflow.MlflowClient().get_run(parent.info.run_id).data.tags
    return {name: tags[name] for name in (f"{TAGS}environment", f"{TAGS}commit") if name in tags}


@contextmanager
def reopened(run_id: str) -> Iterator[None]:
    """Continue a child run, also one of an earlier session."""
    with _run(run_id=run_id):
        yield


@contextmanager
def _run(**arguments: Any) -> Iterator[str]:  # noqa: ANN401 - those of mlflow.start_run
    """As mlflow.start_run does it, but what was stopped on purpose is KILLED and not FAILED."""
    import mlflow

    status = "FAILED"
    try:
        yield mlflow.start_run(nested=True, **arguments).info.run_id
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status)


def log_parameters(values: dict[str, Any]) -> None:
    """Log nested options flat, with dots; what is longer than MLflow takes is cut and ends in `…`."""
    import mlflow
    from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH as MOST

    texts = {name: str(value) for name, value in _flat(values)}
    mlflow.log_params({name: text if len(text) <= MOST else f"{text[: MOST - 1]}…" for name, text in texts.items()})


def log_metrics(values: dict[str, Any], step: int | None = None) -> None:
    """Log every finite number of a nested dictionary, keys joined by dots."""
    import mlflow

    numbers = {
        name: float(value)
        for name, value in _flat(values)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    mlflow.log_metrics(numbers, step=step)


def of_part(part: str, values: dict[str, Any]) -> dict[str, Any]:
    """Metrics by the part of the data that they were measured on, `test_accuracy`.

    A name that says its part keeps it, and goes before one that would only get it here: a metric has one name in all
    runs, whichever training it is of.
    """
    said = {name: value for name, value in values.items() if name.startswith(_PARTS)}
    return {f"{part}_{name}": value for name, value in values.items() if name not in said} | said


def log_headlines(values: dict[str, float]) -> None:
    """Metrics of the run as a whole; nothing outside a run, where MLflow would begin one."""
    import mlflow

    if mlflow.active_run() is not None:
        log_metrics(values)


def log_data(name: str, digest: str, context: str) -> None:
    """Say which data a run was trained or scored on: `mlflow.data`, by name and fingerprint; no data are copied."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={"catalog": name})
    mlflow.log_input(MetaDataset(source=source, name=name, digest=digest), context=context)  # type: ignore[abstract]


def log_figure(figure: Any, name: str) -> None:  # noqa: ANN401 - matplotlib is imported lazily
    """Log a matplotlib figure as an artifact."""
    import mlflow

    mlflow.log_figure(figure, name)


def log_model(kind: ModelKind, bundle: ModelBundle) -> None:
    """Log a model of RGB images from code plus safetensors, and register it under the name of its run.

    `serving/table.py` has what is logged with it. No pickle is written or needed to load it. Models of other
    environments than `base` have its name in theirs, so that none is taken for a later version of another's.

    Raises:
        RuntimeError: there is no run that the model could belong to.
    """
    import mlflow

    served = SERVED[kind]
    with tempfile.TemporaryDirectory() as folder:
        save_bundle(bundle, Path(folder) / "bundle")
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(FOLDER / served.script),
            artifacts={"bundle": str(Path(folder) / "bundle")},
            code_paths=[str(FOLDER.parent)],
            signature=signature(kind, bundle.config),
            pip_requirements=list(served.requirements),
            input_example=input_example(bundle.config),
        )
    _register(_registered_name(), logged)


def _register(name: str, logged: Any) -> None:  # noqa: ANN401 - mlflow.models.model.ModelInfo
    """The next version of a registered model. As `registered_model_name` does it, but that prints of each."""
    import mlflow
    from mlflow.exceptions import MlflowException, RestException

    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name)
    except (MlflowException, RestException) as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(name, logged.model_uri, run_id=logged.run_id, model_id=logged.model_id)


def _registered_name() -> str:
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("a model is logged to the run that trained it, and there is none")
    environment = run.data.tags.get(f"{TAGS}environment", BASE)
    return f"{REGISTERED}{'' if environment == BASE else f'{environment}-'}{run.info.run_name}"


def fetch_detector(run_id: str) -> ModelBundle:
    """The detector that a run has logged.

    Raises:
        WeightsNotFoundError: there is no such run, or it logged no model.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=folder)
        except (mlflow.MlflowException, OSError) as error:
            raise WeightsNotFoundError(
                "no model of this MLflow run",
                where="first_weights.run",
                got=f"{run_id}: {error}",
                expected="the id of a finished child run of detection_training",
                remedy="copy it from the MLflow UI, or from 06_models/<regimen>_run_id.txt of the results",
            ) from error
        return load_bundle(Path(path) / "artifacts" / "bundle")


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
