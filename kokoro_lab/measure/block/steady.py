"""How a worker judges its own timings: whether it has warmed up, and which repeats are outliers.

NumPy only, so that the measured process stays light; inference over blocks is in `statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Label = Literal["", "high", "low"]

__all__ = ["MIN_STEADY", "OUTLIER_FENCE", "STEADY_TOLERANCE", "STEADY_WINDOW", "is_steady", "label_outliers"]

STEADY_WINDOW = 6
"""Latest warm-up calls that are judged: two halves of three, the fewest whose median ignores one bad call."""

MIN_STEADY = 4
"""Fewest calls that can be judged steady: two halves of two, which every ramp and every oscillation of a period of 2 or
3 calls shows itself in. The first call of a session, which allocates, is judged only as long as there are no others."""

STEADY_TOLERANCE = 0.03
"""Halves may differ by this share of the median: the smallest effect of interest (the margin of the
verdicts). Where the calls themselves vary more than that, their own spread is allowed instead."""

RAMP = {4: 6, 5: 8, 6: 11}
"""Calls -> pairs in rising order less those in falling order (Kendall's S) from which on they are a ramp: as often by
chance in 8 %, 8 % and 2 % of orders."""

OUTLIER_FENCE = 3.0
"""Distance from the median, in scaled MADs, at which a repeat is labelled; 3.0 marks 0.3 % of a normal sample."""

MAD_TO_SIGMA = 1.4826
"""MAD of a normal distribution times this is its standard deviation (1 / Phi^-1(3/4))."""


def is_steady(times: Sequence[float], *, tolerance: float = STEADY_TOLERANCE) -> bool:
    """Whether the latest calls show neither a trend nor a jump nor an oscillation.

    - The two halves of the window agree (after pyperf's calibration of warm-ups): their medians differ by at most
      `tolerance`, or by one median absolute deviation of the window, if that is larger but under three times the
      tolerance.
    - No call is more than three tolerances away from the median; of six calls, one may be.
    - The calls do not rise or fall all along (Mann 1945), unless by less than a third of the tolerance altogether.

    `times`: durations of consecutive calls with one shape, oldest first, any unit.
    """
    if len(times) < MIN_STEADY:
        return False
    latest = times if len(times) == MIN_STEADY else times[1:]
    window = np.asarray(latest[-STEADY_WINDOW:], dtype=np.float64)
    centre = float(np.median(window))
    if not centre > 0.0:
        return False
    window = window / centre
    half = len(window) // 2
    away = np.abs(window - 1.0)
    allowed = min(max(tolerance, float(np.median(away))), 3.0 * tolerance)
    drift = abs(float(np.median(window[-half:])) - float(np.median(window[:half])))
    bad = int(np.count_nonzero(away > 3.0 * tolerance))
    forgiven = len(window) == STEADY_WINDOW
    return drift <= allowed and bad <= forgiven and not _is_ramp(window, tolerance / 3.0)


def _is_ramp(window: npt.NDArray[np.float64], least: float) -> bool:
    """Whether the values rise or fall all along, by `least` or more over the window at their median slope."""
    first, second = np.triu_indices(len(window), 1)
    changes = window[second] - window[first]
    slope = float(np.median(changes / (second - first)))
    return abs(int(np.sign(changes).sum())) >= RAMP[len(window)] and abs(slope) * (len(window) - 1) >= least


def label_outliers(times: Sequence[float], *, fence: float = OUTLIER_FENCE, floor: float = 0.01) -> tuple[Label, ...]:
    """Label each repeat "high", "low" or "" by its distance from the median in scaled MADs. Nothing is ever dropped.

    `floor`: least spread that is assumed, as a share of the median, so that a value 0.1 % away from ten equal values is
    not an outlier. Fewer than four repeats are too few to judge: all labels are "".
    """
    none: Label = ""
    if len(times) < 4:
        return (none,) * len(times)
    values = np.asarray(times, dtype=np.float64)
    centre = float(np.median(values))
    spread = max(MAD_TO_SIGMA * float(np.median(np.abs(values - centre))), floor * abs(centre))
    if spread == 0.0:
        return (none,) * len(times)
    return tuple(_label((value - centre) / spread, fence) for value in values.tolist())


def _label(score: float, fence: float) -> Label:
    return "high" if score > fence else "low" if score < -fence else ""
