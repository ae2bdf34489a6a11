"""How good a classifier of cells is, how sure it may be, and when it should rather not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from blood_kedro.library.evaluation.classification import (
    RunAnswers,
    abstention,
    classification_measures,
    group_intervals,
)
from blood_kedro.library.evaluation.resampling import IMAGES
from blood_kedro.library.shipped.type_probabilities import softened

Floats = npt.NDArray[np.float64]
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def rolled_up(logs: Floats, classes: Sequence[str], view: Sequence[str], parents: dict[str, str]) -> Floats:
    """Log-probabilities of the classes of a coarser view, `(N, len(view))`, among these alone.

    Args:
        logs: `(N, C)`.
        classes: names of the columns.
        view: names wanted; a class counts for itself or for its parent, and not at all where neither is in the view.
        parents: of classes that have one.
    """
    columns = [
        np.logaddexp.reduce(logs[:, [k for k, c in enumerate(classes) if name in (c, parents.get(c))]], axis=1)
        for name in view
    ]
    return softened(np.stack(columns, axis=1), 1.0)


def best_temperature(logs: Floats, meant: npt.NDArray[np.bool_], log_shares: Floats | None = None) -> float:
    """The temperature at which the allowed classes are likeliest (Guo et al., ICML 2017); 1 without cells.

    Args:
        logs: log-probabilities `(N, C)`.
        meant: `(N, C)`, classes that the label allows.
        log_shares: as of `softened`.
    """
    if not len(logs):
        return 1.0

    def surprise(log_temperature: float) -> float:
        allowed = np.where(meant, softened(logs, float(np.exp(log_temperature)), log_shares), -np.inf)
        return float(-np.logaddexp.reduce(allowed, axis=1).mean())

    optimum = minimize_scalar(surprise, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(optimum.x))


def threshold_for(right: npt.NDArray[np.bool_], confidence: Floats, accuracy: float) -> float:
    """The least confidence above which answers are right so often; above all of them where that cannot be had.

    Args:
        right: `(N,)`, whether each answer is right.
        confidence: `(N,)`, 0..1.
        accuracy: wanted among the answers that are given.
    """
    order = np.argsort(-confidence, kind="stable")
    good = np.flatnonzero(np.cumsum(right[order]) >= accuracy * np.arange(1, len(order) + 1))
    return float(confidence[order[good[-1]]]) if len(good) else float(np.nextafter(confidence.max(initial=0.0), 2.0))


def figures(
    truth: npt.NDArray[np.int64],
    logs: Floats,
    groups: npt.NDArray[np.object_],
    classes: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures of one held-out part, with 95% intervals over resampled groups, and accuracy by share answered.

    Args:
        truth: `(N,)`, positions in `classes`.
        logs: log-probabilities `(N, C)` at their final temperature.
        groups: `(N,)`, group of each cell.
        classes: names.
        resamples: draws of the bootstrap.
        seed: of the bootstrap.
    """
    probabilities = np.exp(logs)
    answers = RunAnswers(truth, probabilities.argmax(axis=1), groups)
    bootstrapped = group_intervals([answers], len(classes), unit=IMAGES, resamples=resamples, seed=seed)
    return {
        **classification_measures(truth, probabilities, classes),
        "groups": len(np.unique(groups)),
        "intervals": bootstrapped.limits,
        "answered": dict(zip(map(str, SHARES), abstention(truth, probabilities, SHARES), strict=True)),
    }
