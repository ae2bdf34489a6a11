"""Whether two variants differ over their runs: Elmanna et al. 2024's t-test, and one that allows for shared cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

# Fewer runs than these give no p: two or three values say next to nothing of a variance.
FEWEST_RUNS = 5


@dataclass(frozen=True)
class RunTest:
    """P of a two-sided test, None where there is none; runs of both sides; and why there is none, else empty."""

    p: float | None
    runs: tuple[int, int]
    reason: str = ""


def two_sample_test(first: Mapping[str, float], second: Mapping[str, float], why_not: str = "") -> RunTest:
    """Student's t-test of two samples of runs with equal variances, as in Elmanna et al. 2024, Table 6.

    It takes runs for independent, which runs that share cells are not: its p is too small.

    Args:
        first: value of each run, by name.
        second: likewise.
        why_not: a reason that the two may not be compared at all.
    """
    samples = list(first.values()), list(second.values())
    reason = why_not or _too_few(min(map(len, samples)))
    if not reason and not any(np.ptp(each) > 0 for each in samples):
        reason = _CONSTANT
    p = None if reason else float(stats.ttest_ind(*samples).pvalue)
    return _result(p, (len(first), len(second)), reason)


def corrected_test(
    first: Mapping[str, float], second: Mapping[str, float], test_to_train: float, why_not: str = ""
) -> RunTest:
    """The corrected resampled t-test (Nadeau and Bengio, Machine Learning 52, 2003, section 4).

    Differences of runs of one name are paired. Runs share cells to train on, so the variance of their mean is not
    1 / runs of that of one, but that and `test_to_train` more. Runs that share their test cells as well are still more
    alike than it allows for, and no test over runs speaks of other test slides: the interval over slides does.

    Args:
        first: value of each run, by name.
        second: likewise, of the same splits.
        test_to_train: cells tested on for each cell trained on.
        why_not: a reason that the two may not be compared at all.
    """
    names = [name for name in first if name in second]
    runs = (len(first), len(second))
    reason = why_not or _too_few(len(names))
    if reason:
        return RunTest(None, runs, reason)
    differences = np.array([first[name] - second[name] for name in names])
    spread = float(differences.var(ddof=1)) * (1 / len(names) + test_to_train)
    if not spread > 0:
        return RunTest(None, runs, _CONSTANT)
    return _result(float(2 * stats.t.sf(abs(differences.mean()) / np.sqrt(spread), len(names) - 1)), runs, "")


_CONSTANT = "nothing varies over the runs"


def _too_few(runs: int) -> str:
    return "" if runs >= FEWEST_RUNS else f"{runs} runs, fewer than {FEWEST_RUNS}"


def _result(p: float | None, runs: tuple[int, int], reason: str) -> RunTest:
    return RunTest(p, runs, reason) if p is None or np.isfinite(p) else RunTest(None, runs, _CONSTANT)
