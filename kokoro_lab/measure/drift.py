"""Drift of a long run: does a figure creep up or down, by how much, and how sure is that?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Drift", "drift"]

WINDOWS = 30
"""Medians of this many stretches are what the slope is fitted to: neighbours in time resemble each other, and stretches
of a run much less so."""

FEWEST = 8
"""Fewest stretches for an interval of a slope."""


@dataclass(frozen=True)
class Drift:
    """A slope with its 95 % interval; bounds are None when there were too few values."""

    per_hour: float
    """Change of the figure an hour, in its own unit."""
    low: float | None
    high: float | None
    share: float
    """Change over the whole run, as a share of the fitted value at its start."""
    share_low: float | None
    share_high: float | None
    values: int


def drift(times_s: Sequence[float], values: Sequence[float]) -> Drift:
    """Theil and Sen's slope (the median of all pairwise slopes; Sen 1968) of a figure over time.

    `times_s`: seconds, at least two different. `values`: the figure at those times. Raises ValueError otherwise.
    """
    from scipy import stats

    at, what = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if at.size < 2 or at.size != what.size or np.ptp(at) == 0.0:
        raise ValueError("A drift needs at least two values at different times.")
    order = np.argsort(at, kind="stable")
    stretches = np.array_split(order, min(WINDOWS, at.size))
    x = np.array([np.median(at[part]) for part in stretches])
    y = np.array([np.median(what[part]) for part in stretches])
    fitted = stats.theilslopes(y, x, 0.95)
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
