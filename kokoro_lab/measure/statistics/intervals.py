"""The interval of a figure: the block is the unit, because the repeats of one process are correlated.

The figure of a cell is the median of its blocks' medians, and its interval is that of the population's median: between
two order statistics, which contain the median with a probability given by the binomial distribution, whatever the
noise. The figure and its interval therefore agree even when the noise is skewed, unlike a median with the standard
error of a mean.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["ALPHA", "CONFIDENCE", "FEWEST", "Interval", "block_interval", "exact", "median_interval"]

ALPHA = 0.05
"""Accepted probability of a wrong statement: of an interval that does not cover the true value, or of any wrong
"faster", "slower" or "equivalent" among the comparisons of one table."""

CONFIDENCE = 1.0 - ALPHA

FEWEST = 6
"""Fewest blocks, or pairs of blocks, for an interval: 5 all lie on one side of the median in 6.25 % of cases."""


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    center: float
    low: float | None
    """Lower end; None where the figure has no lower bound."""
    high: float | None
    count: int
    """Number of independent units: blocks, pairs of blocks, runs, calls; 0 for a computed figure."""
    confidence: float | None = CONFIDENCE
    """Share of such intervals that cover the true figure; None when `low` and `high` are only the range of the values,
    because there are too few values for an interval."""

    @property
    def known(self) -> bool:
        """Whether it is an interval: bounded on both sides, with a confidence."""
        return self.confidence is not None and self.low is not None and self.high is not None

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The ends of the interval; both None for a mere range of values."""
        return (None, None) if self.confidence is None else (self.low, self.high)

    @property
    def shortfall(self) -> str:
        """Why it is not an interval, as the end of a sentence; empty for an interval."""
        if self.known:
            return ""
        if self.count == 1:
            return f"1 block has no interval; at least {FEWEST} are required"
        return f"{self.count} blocks give a range, not an interval; at least {FEWEST} are required"

    @property
    def magnitude(self) -> Interval:
        """The interval of the absolute value; it starts at 0 when the figure may have either sign."""
        if self.low is None or self.high is None:
            return replace(self, center=abs(self.center), low=None, high=None)
        near, far = sorted((abs(self.low), abs(self.high)))
        return replace(self, center=abs(self.center), low=0.0 if self.low <= 0.0 <= self.high else near, high=far)

    def scaled(self, factor: float) -> Interval:
        """The same interval in another unit, or relative to a target; the factor is positive."""
        return self.mapped(lambda value: value * factor)

    def mapped(self, function: Callable[[float], float], *, falling: bool = False) -> Interval:
        """The interval of a monotonic function of the figure; for a `falling` function the ends are swapped."""
        low, high = (None if end is None else function(end) for end in (self.low, self.high))
        if falling:
            low, high = high, low
        return replace(self, center=function(self.center), low=low, high=high)


def exact(value: float, count: int = 0) -> Interval:
    """A figure without noise: counted, or identical every time."""
    return Interval(value, value, value, count)


def median_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """The median of independent values and its interval, assuming nothing but their independence.

    The interval of order statistics d and n + 1 - d covers the median with 1 - 2 P(Binomial(n, 1/2) < d) (Thompson
    1936). Between the two neighbouring d that bracket the confidence the ends are interpolated as in Hettmansperger and
    Sheather (1986, Statistics and Probability Letters 4, 75-79), which is nearly distribution-free, too.
    With too few values for the confidence (95 % needs 6), the result is their range, with confidence None.

    Equal values have an interval without width. It covers the median of what is read, however coarse the reading; the
    median of what happened lies within half a step of the reading beyond it, for a clock half a nanosecond. It says
    nothing about rare events: that none was seen is bounded by `counts`.

    Raises ValueError without values.
    """
    ordered = sorted(float(value) for value in values)
    count = len(ordered)
    if count == 0:
        raise ValueError("an interval needs at least one value")
    center = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0
    if count == 1:
        return Interval(center, None, None, 1, None)
    depth = 0
    while depth < count // 2 and _coverage(count, depth + 1) >= confidence:
        depth += 1
    if depth == 0:
        return Interval(center, ordered[0], ordered[-1], count, None)
    outer, inner = depth - 1, depth  # places of order statistics d and d + 1
    if inner >= count - inner:
        return Interval(center, ordered[outer], ordered[-1 - outer], count, confidence)
    wide, narrow = _coverage(count, depth), _coverage(count, depth + 1)
    share = (wide - confidence) / (wide - narrow)
    weight = (count - depth) * share / (depth + (count - 2 * depth) * share)
    low = (1.0 - weight) * ordered[outer] + weight * ordered[inner]
    high = (1.0 - weight) * ordered[-1 - outer] + weight * ordered[-1 - inner]
    return Interval(center, min(low, center), max(high, center), count, confidence)


def block_interval(blocks: Sequence[Sequence[float]], *, confidence: float = CONFIDENCE) -> Interval:
    """The median of block medians and its interval; `blocks`: the values of the repeats of each block.

    Raises ValueError without a block or with an empty one.
    """
    if not blocks or not all(len(block) for block in blocks):
        raise ValueError("an interval needs at least one block, and no empty block")
    return median_interval([float(np.median(block)) for block in blocks], confidence=confidence)


@functools.cache
def _coverage(count: int, depth: int) -> float:
    """Probability that the median lies between the depth-th smallest and the depth-th largest of `count` values."""
    outside = 0.0
    for below in range(depth):
        outside += math.exp(
            math.lgamma(count + 1) - math.lgamma(below + 1) - math.lgamma(count - below + 1) - count * math.log(2.0)
        )
    return 1.0 - 2.0 * outside
