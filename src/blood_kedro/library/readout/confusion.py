"""True shares of shapes from the answers of a classifier whose mistakes are known.

A classifier that takes 1% of normal cells for something rare finds that in every smear. How often it takes which shape
for which was measured on labelled cells; the shares that make its answers likeliest are found by expectation
maximisation (the quantification of Saerens et al., Neural Computation 14, 2002, with answers instead of
probabilities). They stay between 0 and 1 and sum to 1, which the inverse of the matrix does not promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.evaluation.resampling import SHARE, interval, resampled
from blood_kedro.library.readout.intervals import Drawing, Floats, Number, wilson_limits

_ROUNDS = 200
# Iterations come near to 0 and never there.
_NOTHING = 1e-6
# Cells of a shape that a classifier was judged on, at least: fewer say nothing of its mistakes.
_LEAST_CELLS = 10
# Above this condition number, shares of two shapes cannot be told from each other by the answers.
_MOST_CONDITION = 100.0
# Draws of a corrected share; each is an iteration of its own.
_MOST_DRAWS = 500


@dataclass(frozen=True)
class Mistakes:
    """What a classifier answers to cells of each shape.

    Attributes:
        classes: C shapes.
        answers: `(C, C)` labelled cells that were answered; rows: what they are, columns: the answer.
        answered: `(C,)` share of the labelled cells of each shape that were answered, 0..1; the rest was too unsure.
        basis: what this was measured on, in words, and what is assumed.
    """

    classes: tuple[str, ...]
    answers: Floats
    answered: Floats
    basis: str

    def why_not(self) -> str:
        """Why shares cannot be corrected by it; empty where they can."""
        cells = self.answers.sum(axis=1)
        if (cells < _LEAST_CELLS).any():
            rare = [name for name, number in zip(self.classes, cells, strict=True) if number < _LEAST_CELLS]
            return f"the classifier was judged on fewer than {_LEAST_CELLS} cells of {', '.join(rare)}"
        if not (self.answered > 0).all():
            return "the classifier never answers to cells of some shape"
        if np.linalg.cond(self.answers / cells[:, None]) > _MOST_CONDITION:
            return "the classifier's answers do not tell all shapes apart"
        return ""


def mistakes_of(config: Mapping[str, Any]) -> Mistakes:
    """The mistakes of a shipped classifier, from its config.

    `figures.answered_at_threshold` has what was answered above the threshold as `confusion`, with a last column of
    cells that were not answered. A config without it has `figures.test.<laboratory>.confusion` of all answers, the
    unsure ones too; then it is assumed that the sure ones are no better, and that cells of all shapes are left
    unanswered as often.

    Raises:
        DataContractError: the config has neither.
    """
    classes = tuple(str(name) for name in config["classes"])
    figures = config.get("figures", {})
    sure = figures.get("answered_at_threshold", {})
    if "confusion" in sure:
        matrix = np.array(sure["confusion"], np.float64)
        _check(matrix, (len(classes), len(classes) + 1))
        cells = np.maximum(matrix.sum(axis=1), 1)
        basis = f"{matrix.sum():,.0f} labelled cells, of which {matrix[:, :-1].sum():,.0f} were answered"
        return Mistakes(classes, matrix[:, :-1], 1 - matrix[:, -1] / cells, basis)
    for laboratory, judged in figures.get("test", {}).items():
        matrix = np.array(judged["confusion"], np.float64)
        _check(matrix, (len(classes), len(classes)))
        basis = (
            f"{matrix.sum():,.0f} labelled cells of {laboratory}, all of them answered: that sure answers are no "
            "better, and that no shape is left unanswered more often than another, is assumed"
        )
        return Mistakes(classes, matrix, np.ones(len(classes)), basis)
    raise DataContractError(
        "a classifier does not say what it takes for what",
        where=str(config.get("model", "config.json")),
        expected="figures.answered_at_threshold.confusion, or figures.test.<laboratory>.confusion",
        remedy="judge it again: make train-shipped",
    )


def true_shares(answers: Floats, mistakes: Floats, answered: Floats) -> Floats:
    """The likeliest shares of shapes, `(D, C)`, rows summing to 1; NaN where nothing was answered.

    Args:
        answers: `(D, C)`, cells that were given each answer.
        mistakes: `(C, C)` or `(D, C, C)`, probability of each answer to a cell of each shape that is answered.
        answered: `(C,)`, how often cells of each shape are answered, up to a common factor.
    """
    total = answers.sum(axis=1, keepdims=True)
    seen = np.divide(answers, total, out=np.full(answers.shape, np.nan), where=total > 0)
    shares = np.full(answers.shape, 1 / answers.shape[1])
    for _ in range(_ROUNDS):
        expected = np.matmul(shares[:, None, :], mistakes)[:, 0]
        weights = np.divide(seen, expected, out=np.zeros_like(seen), where=expected > 0)
        shares = shares * np.matmul(mistakes, weights[:, :, None])[:, :, 0]
    shares = np.where(np.isnan(seen), np.nan, np.where(shares < _NOTHING, 0, shares)) / answered
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def corrected_shares(
    answers: Floats, mistakes: Mistakes, drawing: Drawing, unit: Literal["fields", "cells"]
) -> list[Number]:
    """Corrected share of each shape, percent, with intervals that draw both what was counted and what was judged.

    Args:
        answers: `(G, C)`, answers in each field, or of each cell.
        mistakes: of the classifier.
        drawing: how.
        unit: what a row of `answers` is.
    """
    cells = mistakes.answers.sum(axis=1, keepdims=True)
    known = mistakes.answers / cells
    draws = min(drawing.resamples, _MOST_DRAWS)
    drawn = resampled(lambda weights: weights @ answers, len(answers), draws, drawing.seed)
    point = true_shares(drawn.point[None], known, mistakes.answered)[0]
    if not len(drawn.draws) or np.isnan(point).any():
        return [Number(value=None if np.isnan(value) else 100 * float(value)) for value in point]
    rng = np.random.default_rng(seed_for(drawing.seed, "mistakes"))
    numbers = mistakes.answers.sum(axis=1).astype(np.int64)
    again = np.stack(
        [rng.multinomial(n, row, len(drawn.draws)) / n for row, n in zip(known, numbers, strict=True)], axis=1
    )
    redrawn = true_shares(drawn.draws, again, mistakes.answered)
    without = true_shares(drawn.jackknife, known, mistakes.answered)
    shares = []
    for k, value in enumerate(point):
        if drawn.point[k] == 0:
            shares.append(_never_answered(float(drawn.point.sum()), float(known[k, k])))
            continue
        limits, _ = interval(float(value), redrawn[:, k], without[:, k], SHARE)
        low, high = (None if limit is None else 100 * limit for limit in limits)
        shares.append(Number(value=100 * float(value), low=low, high=high, method=unit))
    return shares


def _never_answered(cells: float, sensitivity: float) -> Number:
    """A shape that no cell was given, nor is in any draw: Wilson's limit, over how often such cells are recognised."""
    high = wilson_limits(0, cells)[1] / max(sensitivity, 0.01)
    return Number(value=0.0, low=0.0, high=100 * min(1.0, high), method="wilson")


def _check(matrix: npt.NDArray[np.float64], shape: Sequence[int]) -> None:
    if matrix.shape != tuple(shape):
        raise DataContractError(
            "a classifier's table of mistakes does not fit its classes",
            got=f"{matrix.shape}",
            expected=f"{tuple(shape)}: rows what cells are, columns what was answered",
        )
