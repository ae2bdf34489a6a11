"""How runs are named and kept apart in MLflow, the views that its page opens with, and links to them."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from blood_kedro.environments import BASE
from blood_kedro.library.reporting.headlines import HEADLINE_METRICS

PAGE_PORT = 5000
OWN_PICTURES = "own pictures"
# What a whole run of an environment is, in a word; others are called as their environment.
_RUNS = {BASE: "demo", "laptop": "real"}
# What `kedro run` can be told to do of its pipelines, by Kedro's words for it, and ours.
_CHOICES = {
    "node_names": "",
    "namespaces": "",
    "tags": "tagged ",
    "from_nodes": "from ",
    "from_inputs": "from ",
    "to_nodes": "to ",
    "to_outputs": "to ",
}
# Saved views of an experiment are tags of it: `mlflow/demo/generators/saved_views.py` of MLflow 3.17 writes one like
# this, for traces; that of runs has the prefix below (github.com/mlflow/mlflow/pull/24359, since 3.15). Pages of older
# servers do not know them, and ignore the tags.
_VIEW_TAG = "mlflow.sharedViewState."
LOSSES, HEADLINES = "losses", "headlines"
_CREATED_MS = 1_767_225_600_000  # one that does not change: a view is written once, not by every run


def with_experiment(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of kedro-mlflow, in which runs on pictures of the user's own have an experiment of their own.

    Args:
        settings: `mlflow.yml`.
        parameters: completed.
    """
    tracking = dict(settings.get("tracking") or {})
    experiment = dict(tracking.get("experiment") or {})
    if has_own_pictures(parameters) and experiment.get("name"):
        experiment["name"] = f"{experiment['name']}, {OWN_PICTURES}"
    return {**settings, "tracking": {**tracking, "experiment": experiment}}


def has_own_pictures(parameters: Mapping[str, Any]) -> bool:
    """Whether the user names pictures of their own: then nothing is trained."""
    return any((parameters.get(section) or {}).get("input") for section in ("detection", "sam_counting"))


def run_name(environment: str, chosen: Mapping[str, Any], *, of_user: bool = False) -> str:
    """What a run is: `demo`, `real`, `demo: merging, reporting`, `demo: from merge to summarize`.

    Args:
        environment: of the run.
        chosen: what was named of all that could run, as Kedro tells its hooks (`run_params`).
        of_user: whether pictures are the user's own.
    """
    kind = OWN_PICTURES if of_user else _RUNS.get(environment, environment)
    pipelines = sorted(name for name in chosen.get("pipeline_names") or () if name != "__default__")
    parts = [", ".join(pipelines)] if pipelines else []
    parts += [f"{word}{_in_short(chosen[key])}" for key, word in _CHOICES.items() if chosen.get(key)]
    parts += ["missing outputs"] if chosen.get("only_missing_outputs") else []
    return f"{kind}: {' '.join(parts)}" if parts else kind


def _in_short(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more" if others else first


def link_of(port: int = PAGE_PORT) -> str:
    """Link to the list that holds the open run, with how to serve it where no server is named; empty without a run."""
    if "mlflow" not in sys.modules:
        return ""
    import mlflow

    run = mlflow.active_run()
    if run is None:
        return ""
    server = str(mlflow.get_tracking_uri())
    if server.startswith("http"):
        parts = urlsplit(server)
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return page_of(address.rstrip("/"), run.info.experiment_id)
    return f"make mlflow, then {page_of(f'http://127.0.0.1:{port}', run.info.experiment_id)}"


def page_of(server: str, experiment_id: str, view: str | None = None) -> str:
    """The list of runs of an experiment; in one of the saved views, as charts."""
    chosen = f"?viewStateShareKey={view}&compareRunsMode=CHART" if view == LOSSES else ""
    return f"{server}/#/experiments/{experiment_id}/runs{chosen or (f'?viewStateShareKey={view}' if view else '')}"


def present_run(experiment_id: str, name: str, tags: Mapping[str, str]) -> None:
    """Name and tag the open run, and have the page of its experiment offer the saved views.

    These are the headline figures as columns, and losses over epochs as charts.
    """
    import mlflow

    mlflow.set_tags({"mlflow.runName": name, **tags})
    client = mlflow.MlflowClient()
    known = client.get_experiment(experiment_id).tags
    for view, (title, state) in _views().items():
        key, value = f"{_VIEW_TAG}{view}", _envelope(title, state)
        if known.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def _views() -> dict[str, tuple[str, dict[str, Any]]]:
    columns = [_column("metrics", name) for name in HEADLINE_METRICS] + [_column("tags", "blood_kedro.environment")]
    sections = [{"uuid": LOSSES, "name": "Losses", "display": True, "isReordered": False, "columns": 2}]
    charts = [
        _line_chart("Loss: training and validation", ["train_loss", "val_loss"]),
        _line_chart("AP50 on the validation images", ["val_map_50"]),
    ]
    return {
        HEADLINES: ("Headline figures", {"selectedColumns": columns}),
        LOSSES: (
            "Losses",
            {
                # Trainings lie folded below their run, and what is folded is not drawn: so they are grouped by their
                # name, which shows them all, and the mean of those that were done several times.
                "searchFilter": "metrics.train_loss > 0",
                "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "regimen"}]},
                "useGroupedValuesInCharts": True,
                "selectedColumns": columns,
                "compareRunCharts": charts,
                "compareRunSections": sections,
                "hideEmptyCharts": True,
            },
        ),
    }


def _line_chart(title: str, metrics: list[str]) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": f"{LOSSES}-{metrics[0]}",
        "metricSectionId": LOSSES,
        "deleted": False,
        "isGenerated": False,
        "displayName": title,
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "displayPoints": True,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _envelope(title: str, state: dict[str, Any]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode())).decode("ascii")
    return json.dumps({"name": title, "createdAt": _CREATED_MS, "state": f"deflate;{packed}"}, separators=(",", ":"))
