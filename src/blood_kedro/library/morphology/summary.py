"""What predictions say: measures over runs, per slide, against other variants, and per smear for a reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.limits import MOST_OVERLAPPING
from blood_kedro.library.core.numbers import none_for_nan
from blood_kedro.library.evaluation.classification import (
    MEASURES,
    RunAnswers,
    abstention,
    classification_measures,
    group_intervals,
    reliability,
)
from blood_kedro.library.evaluation.resampling import SLIDES, Intervals
from blood_kedro.library.evaluation.significance import corrected_test, two_sample_test

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_COMPARED = ("accuracy", "sensitivity", "ppv", "f1")
_TIMES = ("train_s", "test_s")
# Elmanna et al. 2024, section 4.1: more than 5% ovalocytes goes with nearly every anaemia.
OVALOCYTE_PERCENT = 5.0
OVERLAPPING = ("two_overlapping_cells", "three_overlapping_cells")


def truth_and_probabilities(
    predictions: pd.DataFrame, classes: list[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Labels `(N,)` as positions in `classes`, and probabilities `(N, C)`."""
    labels = predictions["class"].map({name: k for k, name in enumerate(classes)})
    probabilities = predictions[[f"p_{name}" for name in classes]]
    return np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)


def score_variant(predictions: pd.DataFrame, facts: dict[str, Any], resamples: int, seed: int) -> dict[str, Any]:
    """Measures averaged over runs (Table 4), with their spread and an interval over slides; and per slide (Table 8).

    Args:
        predictions: of `cross_validate.Variant`.
        facts: likewise.
        resamples: draws of groups for the intervals.
        seed: of the draws.

    Returns:
        `runs`: measures of each, and `test_set`, which tells the cells that it was tested on; means `accuracy,
        sensitivity, specificity, ppv, npv, f1, auc, ece` and their standard deviations `*_sd`; `interval_95` of
        accuracy and F1, of the same means over runs, and the `interval_basis` it rests on; `per_class`; `confusion`,
        per cent of each true class, averaged; `per_slide`, `per_scanner`; `reliability` and `abstention` over all runs.
    """
    classes = facts["classes"]
    parts = {str(name): part for name, part in predictions.groupby("run", sort=False)}
    runs = {
        name: classification_measures(*truth_and_probabilities(part, classes), classes) for name, part in parts.items()
    }
    mean_intervals = _intervals(list(parts.values()), classes, resamples, seed)
    keys = ("accuracy", *MEASURES, "auc", "ece")
    values = {key: np.array([run[key] for run in runs.values()]) for key in keys}
    truth, probabilities = truth_and_probabilities(predictions, classes)
    score = {
        **{key: float(np.nanmean(v)) for key, v in values.items()},
        **{f"{key}_sd": float(np.nanstd(v, ddof=1)) if len(v) > 1 else None for key, v in values.items()},
        "interval_95": mean_intervals.limits,
        "interval_basis": mean_intervals.basis,
        "runs": {
            name: {**{key: run[key] for key in (*keys, "cells")}, "test_set": _test_set(parts[name])}
            for name, run in runs.items()
        },
        "per_class": _per_class(runs, classes),
        "confusion": _confusion(runs),
        "per_slide": _by(predictions, "slide", classes),
        "per_scanner": _by(predictions, "scanner", classes),
        "reliability": reliability(truth, probabilities),
        "abstention": dict(zip(map(str, SHARES), abstention(truth, probabilities, SHARES), strict=True)),
        "cells": facts["cells"],
        "test_cells": int(next(iter(runs.values()))["cells"]),
        "groups": int(predictions["group_id"].nunique()),
        "classes": classes,
    }
    scored: dict[str, Any] = none_for_nan(score)
    return scored


def _intervals(parts: list[pd.DataFrame], classes: list[str], resamples: int, seed: int) -> Intervals:
    """Of the means over runs, each run on its own test cells; the groups of all runs are drawn together."""
    answers = []
    for part in parts:
        truth, probabilities = truth_and_probabilities(part, classes)
        answers.append(
            RunAnswers(truth, probabilities.argmax(axis=1).astype(np.int64), part["group_id"].to_numpy(object))
        )
    return group_intervals(answers, len(classes), unit=SLIDES, resamples=resamples, seed=seed)


def _test_set(part: pd.DataFrame) -> str:
    return table_fingerprint(part[["cell_id", "class"]].astype(str).sort_values("cell_id"))


def _per_class(runs: dict[str, dict[str, Any]], classes: list[str]) -> dict[str, dict[str, float]]:
    rows = {}
    for name in classes:
        table = pd.DataFrame([run["per_class"][name] for run in runs.values()])
        means = table.mean()  # of the runs whose test cells have the class
        rows[name] = {str(key): float(value) for key, value in means.items()}
    return rows


def _confusion(runs: dict[str, dict[str, Any]]) -> list[list[float]]:
    matrices = [np.array(run["confusion"], np.float64) for run in runs.values()]
    shares = [100 * m / np.maximum(m.sum(axis=1, keepdims=True), 1) for m in matrices]
    confusion: list[list[float]] = np.mean(shares, axis=0).tolist()
    return confusion


def _by(predictions: pd.DataFrame, column: str, classes: list[str]) -> dict[str, dict[str, float]]:
    """Accuracy, sensitivity, PPV and F1 of each slide or scanner, averaged over runs."""
    measures_of = {}
    for name, part in predictions.dropna(subset=column).groupby(column):
        measures = [
            classification_measures(*truth_and_probabilities(run, classes), classes)
            for _, run in part.groupby("run", sort=False)
        ]
        measures_of[str(name)] = {
            **{key: float(np.nanmean([m[key] for m in measures])) for key in _COMPARED},
            "cells": float(np.mean([m["cells"] for m in measures])),
        }
    return measures_of


def compare(scores: dict[str, dict[str, Any]], facts: dict[str, dict[str, Any]], reference: str) -> pd.DataFrame:
    """One row per variant (Tables 5 to 7): measures, times, size, and tests over runs against the reference.

    `p_<measure>` is the paper's two-sample t-test (also of the times), `p_<measure>_corrected` that of Nadeau and
    Bengio; `p_note` says why there is none: both need five runs, all on the same test cells.
    """
    rows = []
    for name, score in scores.items():
        tests = {} if name == reference or reference not in scores else _tests(name, reference, scores, facts)
        rows.append(
            {
                "variant": name,
                "model": facts[name]["classifier"]["model"],
                **{key: score[key] for key in _COMPARED},
                "accuracy_low": score["interval_95"]["accuracy"][0],
                "accuracy_high": score["interval_95"]["accuracy"][1],
                "groups": score["groups"],
                "runs": len(score["runs"]),
                "test_cells": score["test_cells"],
                **{key: float(np.mean([run[key] for run in facts[name]["runs"]])) for key in _TIMES},
                "parameters_m": facts[name]["parameters_m"],
                "size_mb": facts[name]["size_mb"],
                **{f"p_{key}": tests.get(key) for key in (*_COMPARED, *_TIMES)},
                **{f"p_{key}_corrected": tests.get(f"{key}_corrected") for key in _COMPARED},
                "p_note": tests.get("note"),
            }
        )
    return pd.DataFrame(rows)


def _tests(
    name: str, reference: str, scores: dict[str, dict[str, Any]], facts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """P of each measure of a variant against the reference, and a note where there is none."""
    sets = {run["test_set"] for one in (name, reference) for run in scores[one]["runs"].values()}
    why_not = "" if len(sets) == 1 else "runs are tested on different cells"
    timed = {one: {str(run["run"]): run for run in facts[one]["runs"]} for one in (name, reference)}
    runs = timed[name].values()
    test_to_train = sum(run["test_cells"] for run in runs) / max(sum(run["train_cells"] for run in runs), 1)
    tests = {}
    for key in _COMPARED:
        values, reference_values = (
            {n: run[key] for n, run in scores[one]["runs"].items()} for one in (name, reference)
        )
        tests[key] = two_sample_test(values, reference_values, why_not)
        tests[f"{key}_corrected"] = corrected_test(values, reference_values, test_to_train, why_not)
    for key in _TIMES:
        values, reference_values = ({n: run[key] for n, run in timed[one].items()} for one in (name, reference))
        tests[key] = two_sample_test(values, reference_values, why_not)
    notes = dict.fromkeys(test.reason for test in tests.values() if test.reason)
    return {**{key: test.p for key, test in tests.items()}, "note": "; ".join(notes) or None}


def smear_findings(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """What a haematologist would want to know of each smear, from predicted classes (section 6.5).

    Args:
        predictions: of a variant of the eight (or nine) shapes; runs are averaged first.
        classes: of it.

    Returns:
        Per slide: `cells`, per cent of single cells that are ovalocytes, teardrops, fragmented and burr cells, the
        `overlap_ratio` (overlapping groups per single cell), and `finding` in words. It describes the crops that were
        given, which are no random sample of a smear, and is no diagnosis.
    """
    columns = [f"p_{name}" for name in classes]
    keyed = predictions.assign(slide=predictions["slide"].fillna(predictions["group_id"]))
    mean = keyed.groupby(["slide", "cell_id"])[columns].mean()
    chosen = pd.Series(np.array(classes)[mean.to_numpy().argmax(axis=1)], mean.index)
    rows = []
    for slide, part in chosen.groupby(level="slide"):
        overlapping = int(part.isin(OVERLAPPING).sum())
        single = len(part) - overlapping
        percent = {
            f"{name}_percent": 100 * float((part == name).sum()) / max(single, 1)
            for name in ("ovalocyte", "teardrop", "fragmented_rbc", "burr_cell")
        }
        ratio = overlapping / max(single, 1)
        rows.append(
            {
                "slide": str(slide),
                "cells": len(part),
                **percent,
                "overlap_ratio": ratio,
                "finding": _words(percent, ratio),
            }
        )
    return pd.DataFrame(rows)


def _words(percent: dict[str, float], ratio: float) -> str:
    said = [
        f"ovalocytes {percent['ovalocyte_percent']:.1f}%"
        + (f" (more than {OVALOCYTE_PERCENT:.0f}%)" if percent["ovalocyte_percent"] > OVALOCYTE_PERCENT else "")
    ]
    for name, words in (
        ("teardrop", "teardrop cells"),
        ("fragmented_rbc", "fragmented cells"),
        ("burr_cell", "burr cells"),
    ):
        value = percent[f"{name}_percent"]
        said.append(f"{words} {value:.1f}%" if value else f"no {words}")
    fit = "not fit for counting" if ratio > MOST_OVERLAPPING else "fit for counting"
    return ", ".join(said) + f"; {ratio:.2f} overlapping groups per single cell: {fit}"
