"""Bias-corrected and accelerated limits of a bootstrap (Efron, J. Am. Stat. Assoc. 82, 1987), for `resampling`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Of an interval of 95%.
LEVELS = (0.025, 0.975)
# A bias above a quarter of the standard error matters (Efron and Tibshirani, An introduction to the bootstrap, 1993,
# section 10.3). BCa then reads its limits off a tail of few draws, and covers less than basic limits do.
_MOST_BIAS = 0.25


def bca_levels(point: float, draws: Floats, jackknife: Floats) -> Floats | None:
    """The levels whose quantiles are BCa limits (Efron 1987, equation 2.3 on); None where they are undefined."""
    from scipy.special import ndtr, ndtri

    same = np.abs(draws - point) <= 1e-12 * max(1.0, abs(point))  # sums in another order differ in the last digit
    share = (np.mean(~same & (draws < point)) + same.mean() / 2).item()
    away = jackknife.mean() - jackknife if len(jackknife) else jackknife
    spread = float((away**2).sum())
    if not 0 < share < 1 or same.all() or not spread > 1e-24:
        return None
    bias, acceleration = float(ndtri(share)), float((away**3).sum()) / (6 * spread**1.5)
    if abs(bias) > _MOST_BIAS:
        return None
    shifted = bias + ndtri(np.array(LEVELS))
    room = 1 - acceleration * shifted
    if (room <= 0).any():
        return None
    levels = np.asarray(ndtr(bias + shifted / room), np.float64)
    most = 1 / (len(draws) + 1)
    return levels if ((levels >= most) & (levels <= 1 - most)).all() else None
