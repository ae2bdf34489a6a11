"""Results of a training that ran elsewhere (`job.train_pack`), checked against what is configured here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle, rebuilt
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.core.weights import read_weights
from blood_kedro.library.detection.fit import Fit, without_source
from blood_kedro.library.detection.predict import network_of

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import Regimen

_AGAIN = "copy the folder again, whole, from where it was trained, or train again (scripts/train_detector.py)"


def take_over(folder: Path, regimen: Regimen, train: dict[str, Any], val: dict[str, Any]) -> Fit:
    """The detector and history of a folder that `scripts/train_detector.py` filled.

    Raises:
        DataContractError: the folder is not whole, or its training had another recipe or other data.
        UnsafeFileError: its weights are more than tensors.
    """
    job = folder / "job.json"
    if not job.is_file():
        raise DataContractError(
            "no finished training in this folder",
            where=str(folder.absolute()),
            got="no job.json",
            remedy="correct trained_in, or run scripts/train_detector.py again: it goes on where it stopped",
        )
    config, history = _config_and_history(folder, job)
    configured, trained = to_plain(regimen.recipe), config["regimen"]
    differing = sorted(name for name in configured.keys() | trained.keys() if configured.get(name) != trained.get(name))
    if differing:
        raise DataContractError(
            f"regimen {regimen.name} was trained with other options than are configured",
            where=str(folder.absolute()),
            got=", ".join(f"{name} {trained.get(name)}" for name in differing),
            expected=", ".join(f"{name} {configured.get(name)}" for name in differing),
            remedy="configure what was trained, or train what is configured; of an earlier version: "
            "scripts/migrate_regimens.py",
        )
    data = fingerprint([without_source(train, regimen.leave_out), val])
    if config["data_fingerprint"] != data:
        raise DataContractError(
            "this training saw other data than the unified corpus holds now",
            where=str(folder.absolute()),
            got=config["data_fingerprint"],
            expected=data,
            remedy="pack the data again (make pack) and train again",
        )
    weights = read_weights(folder / "weights.pt", _AGAIN)
    fitted = Fit(ModelBundle(weights, config, folder=folder), history)
    rebuilt(fitted.bundle, network_of)  # weights that do not fit are better found here than by whoever predicts
    return fitted


def _config_and_history(folder: Path, job: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Config and history of a training.

    Raises:
        DataContractError: a file is missing, cut or damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["trained_in"] = json.loads(job.read_text(encoding="utf-8"))
        config["regimen"].keys(), config["data_fingerprint"], config["trained_in"].keys()
        table = pd.read_csv(folder / "history.csv")
        return config, [{str(name): float(value) for name, value in row.items()} for row in table.to_dict("records")]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataContractError(
            "what a training says of itself is missing or damaged",
            where=str(folder.absolute()),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            expected="config.json, job.json, history.csv",
            remedy=_AGAIN,
        ) from error


def taken_predictions(folder: Path, split: str, config: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """Detections on a split, and images per second, of the folder that `take_over` accepted.

    Raises:
        DataContractError: the training did not predict on that split.
    """
    path = folder / f"coco_results_{split}.json"
    if not path.is_file():
        raise DataContractError(
            f"the training did not predict on {split}", where=str(path.absolute()), remedy="pack that split, too"
        )
    try:
        results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return results, float(config["trained_in"]["predict_images_per_second"][split])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataContractError(
            f"what the training predicted on {split} is damaged",
            where=str(path.absolute()),
            got=f"{type(error).__name__}: {str(error)[:200]}",
            remedy=_AGAIN,
        ) from error
