"""Two heads of one classifier on the same cells: how often each is right, and by how much they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core import taxonomy
from blood_kedro.library.corrections.options import RetrainOptions
from blood_kedro.library.evaluation.classification import RunAnswers, paired_intervals
from blood_kedro.library.evaluation.resampling import IMAGES, Limits, excludes_zero, with_limits
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.shipped.type_figures import parents, whole_types
from blood_kedro.library.shipped.type_scores import figures, rolled_up

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BeforeAfter:
    """A model before and after a retraining, on cells that it did not learn from.

    Attributes:
        cells, groups: how many.
        before, after: measures of `type_scores.figures`, over the types of a whole (bands are neutrophils).
        difference: after minus before in `accuracy` and `f1` (mean over classes), with its 95% limits.
        answered_before, answered_after: share of cells that are named, not `other`, and accuracy among these.
    """

    cells: int
    groups: int
    before: dict[str, Any]
    after: dict[str, Any]
    difference: dict[str, tuple[float, Limits]]
    answered_before: dict[str, float]
    answered_after: dict[str, float]

    def verdict(self) -> str:
        """What the difference in accuracy says, in words."""
        value, limits = self.difference["accuracy"]
        if not excludes_zero(limits):
            return "cannot be told apart"
        return "better" if value > 0 else "worse"

    def text(self) -> str:
        """A line for each measure."""
        lines = [f"{self.cells:,} cells of {self.groups:,} groups: {self.verdict()}"]
        for name, shown in (("accuracy", "accuracy"), ("f1", "macro F1")):
            then, now = (with_limits(m[name], m["intervals"][name]) for m in (self.before, self.after))
            value, limits = self.difference[name]
            lines.append(f"{shown}: {then} before, {now} after, {with_limits(value, limits, signed=True)}")
        before, after = self.answered_before, self.answered_after
        lines.append(
            f"named, not `other`: {before['share']:.0%} before, {after['share']:.0%} after; "
            f"of these right: {before['accuracy']:.3f}, {after['accuracy']:.3f}"
        )
        return "\n".join(lines)


def compare(
    types: Sequence[str],
    groups: Sequence[str],
    before: Floats,
    after: Floats,
    classifier: TypeClassifier,
    options: RetrainOptions,
) -> BeforeAfter:
    """Judge two models on the same cells.

    Args:
        types: what somebody said of each of N cells; each is a class, a kind of one, or has kinds among them.
        groups: group of each cell.
        before: calibrated log-probabilities `(N, C)` of the first.
        after: of the second.
        classifier: that both are heads of: its classes, and the probability below which both say `other`.
        options: draws of groups, and their seed.
    """
    classes, threshold = classifier.classes, classifier.threshold
    resamples, seed = options.resamples, options.seed
    view = whole_types(classes)
    truth = np.array([view.index(str(taxonomy.roll_up(each, view))) for each in types], np.int64)
    named = np.array(groups, object)
    logs = [rolled_up(each, classes, view, parents(classes)) for each in (before, after)]
    judged = [figures(truth, each, named, view, resamples=resamples, seed=seed) for each in logs]
    first, second = (RunAnswers(truth, each.argmax(axis=1), named) for each in logs)
    value, paired = paired_intervals(first, second, len(view), unit=IMAGES, resamples=resamples, seed=seed)
    return BeforeAfter(
        cells=len(types),
        groups=len(set(groups)),
        before=judged[0],
        after=judged[1],
        difference={name: (value[name], paired.limits[name]) for name in value},
        answered_before=_answered(before, first.found == truth, threshold),
        answered_after=_answered(after, second.found == truth, threshold),
    )


def _answered(logs: Floats, right: npt.NDArray[np.bool_], threshold: float) -> dict[str, float]:
    answered = np.exp(logs.max(axis=1)) >= threshold
    accuracy = float(right[answered].mean()) if answered.any() else float("nan")
    return {"share": float(answered.mean()), "accuracy": accuracy}
