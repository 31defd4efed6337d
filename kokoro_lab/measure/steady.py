"""What a worker needs to judge its own timings: has it warmed up, and which repeats are outliers.

NumPy only, so that the measured process stays light; inference over blocks lives in `statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Label = Literal["", "high", "low"]

__all__ = ["MIN_STEADY", "OUTLIER_FENCE", "STEADY_TOLERANCE", "STEADY_WINDOW", "is_steady", "label_outliers"]

STEADY_WINDOW = 6
"""Latest warm-up calls that are judged: two halves of three, the least in which a median shrugs off one bad call."""

MIN_STEADY = 4
"""Fewest calls that can be called steady: two halves of two. The first call of a session is never judged by itself."""

STEADY_TOLERANCE = 0.03
"""Halves may differ by this share of the median: the smallest effect that we care to tell from none (the margin of the
verdicts). Where the calls themselves scatter more than that, by their own spread instead."""

OUTLIER_FENCE = 3.0
"""Distance from the median, in scaled MADs, at which a repeat is labelled; 3.0 marks 0.3 % of a normal sample."""

MAD_TO_SIGMA = 1.4826
"""MAD of a normal distribution times this is its standard deviation (1 / Phi^-1(3/4))."""


def is_steady(times: Sequence[float], *, tolerance: float = STEADY_TOLERANCE) -> bool:
    """Whether the latest calls show no trend and no jump: the two halves of the window agree.

    After pyperf's calibration of warm-ups (compare the halves on location and spread), for short windows: the later
    half's median must be within `tolerance` of the earlier one's, or within one median absolute deviation of the whole
    window, if that is more but under three times the tolerance; and the first call of the window must not be the
    slowest by more than three tolerances, which is what an allocation or a compilation looks like.

    `times`: durations of consecutive calls with one shape, oldest first, any unit.
    """
    if len(times) < MIN_STEADY:
        return False
    window = np.asarray(times[-STEADY_WINDOW:], dtype=np.float64)
    half = len(window) // 2
    early, late = window[:half], window[-half:]
    centre = float(np.median(window))
    if not centre > 0.0:
        return False
    spread = float(np.median(np.abs(window - centre))) / centre
    allowed = min(max(tolerance, spread), 3.0 * tolerance)
    drift = abs(float(np.median(late)) - float(np.median(early))) / centre
    jump = (float(window[0]) - float(np.max(window[1:]))) / centre
    return drift <= allowed and jump <= 3.0 * tolerance


def label_outliers(times: Sequence[float], *, fence: float = OUTLIER_FENCE, floor: float = 0.01) -> tuple[Label, ...]:
    """Label each repeat "high", "low" or "" by its distance from the median in scaled MADs. Nothing is ever dropped.

    `floor`: least spread that is assumed, as a share of the median, so that ten equal values and one 0.1 % off are no
    outlier. Fewer than four repeats are too few to call one of them odd: all are "".
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
