"""Train one variant of the comparison in all its runs, and predict the test cells of each."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.errors import BloodKedroError
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.hashing import fingerprint, seed_for, table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.morphology.classes import in_view
from blood_kedro.library.morphology.networks import build_classifier, first_weights, parameters_m, probabilities
from blood_kedro.library.morphology.options import Classifier
from blood_kedro.library.morphology.segment import complete_masks
from blood_kedro.library.morphology.splits import FirstStage, Fold, runs
from blood_kedro.library.morphology.stain import normalise
from blood_kedro.library.training.crops import CropData, CropMasks, Crops, flips, in_order
from blood_kedro.library.training.foundation import fit_probe
from blood_kedro.library.training.foundation_options import FOUNDATION_MODELS, Backbone
from blood_kedro.library.training.losses import ClassWeighted, class_weights
from blood_kedro.library.training.predict import device_for
from blood_kedro.library.training.supervised import Trained, fit_supervised, training_seconds

logger = logging.getLogger(__name__)

_PREDICTIONS, _FACTS = "predictions.parquet", "facts.json"


@dataclass(frozen=True)
class Variant:
    """What came of a variant.

    Attributes:
        model: the network of the run with the lowest validation loss.
        predictions: one row per test cell and run: `run`, `cell_id`, `group_id`, `slide`, `scanner`, `class`, and the
            probability of each class, `p_<class>`.
        history: one row per run and epoch.
        facts: per run `run, train_cells, val_cells, test_cells, best_epoch, val_loss, weights_origin`; `train_s`,
            seconds of training without validation; `test_s`, of answering for all test cells; `device`, what answered;
            `missing`, which classes or scanners a part lacks. For the variant `classes, left_out, parameters_m,
            size_mb, weights_origin`; `distribution`, cells of each class by scanner (Fig. 3); and `shown_whole`, cells
            whose mask is the whole crop, since nobody gave or found an outline.
    """

    model: ModelBundle
    predictions: pd.DataFrame
    history: pd.DataFrame
    facts: dict[str, Any]


def train_variant(
    cells: CropSet,
    segmenter: ModelBundle | None,
    options: Classifier,
    work_folder: Path,
    on_run: Callable[[int, dict[str, Any]], None] = lambda _n, _f: None,
) -> Variant:
    """Train every run; a run that is finished is not done again when a killed variant is started anew.

    Args:
        cells: of the source.
        segmenter: finds masks, as `options.masks` says; None where the source gives them all.
        options: of the variant.
        work_folder: keeps finished runs and checkpoints; emptied at the end.
        on_run: told number and facts of each run.

    Raises:
        ConfigurationError: the cells do not allow such classes or splits, or the segmenter learnt from tested slides.
        WeightsNotFoundError: the first weights cannot be had.
    """
    table, classes, left_out = in_view(cells.table, options.view, options.min_cells)
    folds = runs(table, options, None if segmenter is None else FirstStage.of(segmenter))
    shown = complete_masks(segmenter, cells, options.masks, options.compute) if options.segmented else None
    pixels = [_pixels(cells.crops), "" if shown is None else _pixels(shown)]
    identity = fingerprint([to_plain(options.recipe), table_fingerprint(table), pixels, folds[0].test.tolist()])
    folder = work_folder / identity
    crops = normalise(cells.crops, cells.table, options.stain)
    facts, predictions, histories = [], [], []
    for number, run in enumerate(folds):
        run_folder = folder / run.name
        finished = _finished(run_folder)
        if finished is None:
            _train_run(run, table, classes, crops, shown, options, folder)
            finished = _read(run_folder)
        facts.append(finished[0])
        predictions.append(finished[1])
        histories.append(pd.DataFrame(facts[-1].pop("history")).assign(run=run.name))
        on_run(number, facts[-1])
    best = min(facts, key=lambda row: float(row["val_loss"]))
    bundle = load_bundle(folder / best["run"] / "model")
    size = sum(path.stat().st_size for path in (folder / best["run"] / "model").iterdir()) / 2**20
    config = {"classifier": options.model_dump(mode="json"), "classes": classes, "run": best["run"]}
    result = Variant(
        ModelBundle(bundle.weights, {**bundle.config, **config, "side_px": cells.side_px}),
        pd.concat(predictions, ignore_index=True),
        pd.concat(histories, ignore_index=True),
        {
            "runs": facts,
            "classes": classes,
            "left_out": left_out,
            "parameters_m": best["parameters_m"],
            "size_mb": size,
            "weights_origin": best["weights_origin"],
            "classifier": options.model_dump(mode="json"),
            "cells": len(table),
            "distribution": distribution(table, classes),
            "data_fingerprint": identity,
            "shown_whole": 0 if shown is None else sum(bool(shown[row].all()) for row in table["row"]),
        },
    )
    shutil.rmtree(work_folder, ignore_errors=True)
    return result


def _finished(folder: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Facts and predictions of a run that is finished; None where it is not, or where a file of it is damaged."""
    if not (folder / _FACTS).is_file():
        return None
    try:
        load_bundle(folder / "model")
        return _read(folder)
    except (BloodKedroError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        logger.warning("run %s is damaged and done again: %s: %s", folder, type(error).__name__, str(error)[:200])
        return None


def _read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    float(facts["val_loss"]), facts["run"], facts["history"]
    return facts, pd.read_parquet(folder / _PREDICTIONS)


def _pixels(images: np.ndarray[Any, Any]) -> str:
    """Tells cells apart that were cut in another way: a hash of every n-th, so that mapped ones stay on the disk."""
    return hashlib.sha256(np.ascontiguousarray(images[:: max(1, len(images) // 64)]).tobytes()).hexdigest()


def distribution(table: pd.DataFrame, classes: list[str]) -> dict[str, dict[str, int]]:
    """Cells of each class by scanner; cells without a scanner count for `""`."""
    counted = Counter(zip(table["class"], table["scanner"].fillna("").astype(str), strict=True))
    scanners = sorted({scanner for _, scanner in counted})
    return {name: {scanner: counted[name, scanner] for scanner in scanners} for name in classes}


def _train_run(
    run: Fold,
    table: pd.DataFrame,
    classes: list[str],
    crops: Crops,
    shown: CropMasks | None,
    options: Classifier,
    folder: Path,
) -> None:
    """Train and test one run, and write its folder; `facts.json` comes last."""
    rows, seed = table["row"].to_numpy(np.int64), seed_for(options.seed, "run", run.name)
    labels = np.zeros(len(crops), np.int64)
    labels[rows] = table["class"].map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64)
    augment = flips(options.rotation_deg)
    train = CropData(crops, rows[run.train], labels, seed, augment, shown, keep_originals=options.augmented == "added")
    val, test = (CropData(crops, rows[part], labels, seed, None, shown) for part in (run.val, run.test))
    logger.info("%s, run %s: %d cells to train on", options.name, run.name, len(run.train))
    if options.model in FOUNDATION_MODELS:
        plain = CropData(crops, rows[run.train], labels, seed, None, shown)
        network, trained, origin = _probe(plain, val, len(classes), options)
    else:
        unweighted = nn.CrossEntropyLoss()
        counts = np.bincount(labels[rows[run.train]], minlength=len(classes))
        weighted = ClassWeighted(class_weights(torch.from_numpy(counts.astype(np.float64)), len(run.train)))
        torch.manual_seed(seed)
        network = build_classifier(options.model, len(classes))
        origin = first_weights(network, options.model, options.first_weights)
        trained = fit_supervised(
            network,
            weighted if options.loss == "class_weighted" else unweighted,
            train,
            val,
            options.training,
            seed=seed,
            identity=[folder.name, run.name],
            work_folder=folder / f"{run.name}.work",
            compute=options.compute,
            val_loss=unweighted,
            name=f"{options.name}, run {run.name}",
        )
    device = device_for(options.compute)
    network.to(device)
    start = time.perf_counter()
    predicted = probabilities(network, in_order(test, 4 * options.training.batch_size)).numpy()
    test_s = time.perf_counter() - start
    known = table.iloc[run.test][["cell_id", "group_id", "slide", "scanner", "class"]].reset_index(drop=True)
    predictions = pd.concat(
        [known.assign(run=run.name), pd.DataFrame(predicted, columns=[f"p_{name}" for name in classes])], axis=1
    )
    run_folder = folder / run.name
    run_folder.mkdir(parents=True, exist_ok=True)
    save_bundle(ModelBundle(trained.weights, {}), run_folder / "model")
    write_atomically(run_folder / _PREDICTIONS, lambda path: predictions.to_parquet(path, index=False))
    facts = {
        "run": run.name,
        "train_s": training_seconds(trained.history),
        "test_s": test_s,
        "device": device.type,
        "train_cells": len(run.train),
        "val_cells": len(val),
        "test_cells": len(test),
        "missing": run.missing,
        "weights_origin": origin,
        "parameters_m": parameters_m(network),
        **_best(trained),
        "history": trained.history,
    }
    write_bytes_atomically(run_folder / _FACTS, json.dumps(facts).encode())


def _probe(train: CropData, val: CropData, classes: int, options: Classifier) -> tuple[nn.Module, Trained, str]:
    """Fit a head to a foundation model's features of cells as they are; told as one epoch."""
    start, folder = time.perf_counter(), Path(str(options.first_weights.path))
    batch = options.training.batch_size
    model = cast("Backbone", options.model)
    probe, train_loss = fit_probe(model, options.probe, folder, classes, in_order(train, batch))
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        parts = [nn.functional.cross_entropy(probe(i), t, reduction="none") for i, t in in_order(val, batch)]
    val_loss = float(torch.cat(parts).mean())
    history = [{"epoch": 1.0, "train_loss": train_loss, "val_loss": val_loss, "lr": 0.0, "seconds": seconds}]
    weights = {name: value.detach().clone() for name, value in probe.state_dict().items()}
    return probe, Trained(weights, history, 1), f"{options.model} of {folder.name}, {options.probe} probe"


def _best(trained: Trained) -> dict[str, float]:
    return {"best_epoch": trained.best_epoch, "val_loss": trained.history[trained.best_epoch - 1]["val_loss"]}
