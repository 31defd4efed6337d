"""Drift of a long run: whether a figure rises or falls over time, by how much, and with which confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kokoro_lab.measure.statistics.intervals import CONFIDENCE, Interval

__all__ = ["Drift", "drift"]

WINDOWS = 30
"""The slope is fitted to the medians of this many segments of the run, because neighbouring values are correlated and
segments much less so."""

FEWEST = 8
"""Fewest segments for an interval of a slope."""


@dataclass(frozen=True)
class Drift:
    """A slope with its 95 % interval; the bounds are None when there are too few values."""

    per_hour: float
    """Change of the figure per hour, in its own unit."""
    low: float | None
    high: float | None
    share: float
    """Change over the whole run, as a share of the fitted value at its start."""
    share_low: float | None
    share_high: float | None
    values: int

    @property
    def share_interval(self) -> Interval:
        """The change over the whole run as a share, with its interval."""
        known = self.share_low is not None
        return Interval(self.share, self.share_low, self.share_high, self.values, CONFIDENCE if known else None)


def drift(times_s: Sequence[float], values: Sequence[float]) -> Drift:
    """Theil and Sen's slope (the median of all pairwise slopes; Sen 1968) of a figure over time.

    `times_s`: seconds, at least two different. `values`: the figure at those times. Raises ValueError otherwise.
    """
    from scipy import stats

    at, what = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if at.size < 2 or at.size != what.size or np.ptp(at) == 0.0:
        raise ValueError("a drift needs at least two values at different times")
    order = np.argsort(at, kind="stable")
    segments = np.array_split(order, min(WINDOWS, at.size))
    x = np.array([np.median(at[part]) for part in segments])
    y = np.array([np.median(what[part]) for part in segments])
    fitted = stats.theilslopes(y, x, CONFIDENCE)
    slope, start = float(fitted.slope), float(fitted.intercept + fitted.slope * at.min())
    bounded = x.size >= FEWEST
    span = float(np.ptp(at))

    def share(value: float) -> float:
        return value * span / abs(start) if start else float("nan")

    return Drift(
        per_hour=slope * 3600.0,
        low=float(fitted.low_slope) * 3600.0 if bounded else None,
        high=float(fitted.high_slope) * 3600.0 if bounded else None,
        share=share(slope),
        share_low=share(float(fitted.low_slope)) if bounded else None,
        share_high=share(float(fitted.high_slope)) if bounded else None,
        values=at.size,
    )
