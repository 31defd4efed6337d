"""Tail percentiles with their upper bound, or the words "too few samples"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kokoro_lab.measure.statistics.intervals import ALPHA, CONFIDENCE, Interval

__all__ = ["Percentile", "design_effect", "percentile", "percentile_interval", "samples_needed", "surely_beyond"]

MEDIAN_BEYOND_P95 = 0.10
"""Highest probability of a block median above the true p95, however correlated the repeats of a block are (Markov's
inequality: half of them are above, of 5 % on average)."""


@dataclass(frozen=True)
class Percentile:
    """A percentile of pooled repeats. `value` and `upper` are both None when there are too few samples."""

    quantile: float
    value: float | None
    upper: float | None
    """Upper bound of the percentile at the requested confidence; an order statistic, assuming no distribution."""
    samples: int
    needed: int
    """Samples that the bound requires at this design effect."""
    design_effect: float
    confidence: float

    @property
    def text(self) -> str:
        """The figure for printing, without unit."""
        if self.value is None:
            return f"too few samples ({self.samples} of {self.needed})"
        return f"{self.value:.3g} (at most {self.upper:.3g})"


def samples_needed(quantile: float, *, confidence: float = CONFIDENCE, effect: float = 1.0) -> int:
    """Fewest samples whose maximum is an upper bound of the quantile: quantile^n <= 1 - confidence.

    59 for p95 and 299 for p99 at 95 % (Wilks 1941; the same rule as MLPerf's early stopping), times the design effect.

    Examples:
        >>> samples_needed(0.95), samples_needed(0.99), samples_needed(0.95, effect=2.0)
        (59, 299, 117)
    """
    return math.ceil(math.log(1.0 - confidence) / math.log(quantile) * effect - 1e-9)


def design_effect(blocks: Sequence[Sequence[float]]) -> float:
    """Factor by which more repeats are needed because the repeats of a block are correlated (Kish 1965).

    1 + (m - 1) * ICC, with the intra-class correlation by one-way analysis of variance and m the average number of
    repeats. At least 1. It cannot be estimated from a single block, where m, the worst case, is returned, nor from
    blocks of one repeat, where 1 is returned.
    """
    groups = [np.asarray(block, dtype=np.float64) for block in blocks if len(block)]
    total = sum(group.size for group in groups)
    if not groups or total == len(groups):
        return 1.0
    if len(groups) == 1:
        return float(total)
    mean = float(np.concatenate(groups).mean())
    between = sum(group.size * (float(group.mean()) - mean) ** 2 for group in groups) / (len(groups) - 1)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (total - len(groups))
    size = (total - sum(group.size**2 for group in groups) / total) / (len(groups) - 1)
    spread = between + (size - 1.0) * within
    correlation = (between - within) / spread if spread > 0.0 else 0.0
    return max(1.0, 1.0 + (total / len(groups) - 1.0) * min(correlation, 1.0))


def percentile(blocks: Sequence[Sequence[float]], quantile: float, *, confidence: float = CONFIDENCE) -> Percentile:
    """The quantile (0.95 for p95) of all repeats of the blocks, with its upper bound.

    The bound is the order statistic whose rank a binomial count of exceedances reaches with the requested confidence,
    at the effective sample size: samples over the design effect.
    """
    from scipy import stats  # here, for it takes a second to import

    effect = design_effect(blocks)
    values = np.sort(np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks] or [np.zeros(0)]))
    needed = samples_needed(quantile, confidence=confidence, effect=effect)
    if values.size < needed:
        return Percentile(quantile, None, None, values.size, needed, effect, confidence)
    effective = math.floor(values.size / effect + 1e-9)
    rank = int(stats.binom.ppf(confidence, effective, quantile)) + 1
    rank = min(math.ceil(rank * values.size / effective), values.size)
    value = float(np.quantile(values, quantile))
    return Percentile(quantile, value, float(values[rank - 1]), values.size, needed, effect, confidence)


def percentile_interval(
    blocks: Sequence[Sequence[float]], quantile: float, *, confidence: float = CONFIDENCE
) -> Interval | None:
    """The quantile of all repeats with both bounds at `confidence` together; None with too few samples for the upper
    bound.

    Each bound is an order statistic as in `percentile`, at half of the error on its side: 97.5 % for 95 % together.
    """
    from scipy import stats

    tail = percentile(blocks, quantile, confidence=(1.0 + confidence) / 2.0)
    if tail.value is None:
        return None
    values = np.sort(np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks]))
    effective = math.floor(values.size / tail.design_effect + 1e-9)
    rank = int(stats.binom.ppf((1.0 - confidence) / 2.0, effective, quantile))
    low = float(values[math.floor(rank * values.size / effective) - 1]) if rank > 0 else None
    return Interval(tail.value, low, tail.upper, tail.samples, confidence)


def surely_beyond(blocks: Sequence[Sequence[float]], limit: float) -> tuple[int, bool]:
    """Blocks whose median lies above a limit on the p95, and whether they are so many that the p95 itself must.

    In this way a p95 with too few samples for a figure can still be shown to exceed its limit.
    """
    from scipy import stats

    beyond = sum(float(np.median(block)) > limit for block in blocks)
    return beyond, bool(stats.binom.sf(beyond - 1, len(blocks), MEDIAN_BEYOND_P95) < ALPHA)
