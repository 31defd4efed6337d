"""Tail percentiles with their upper bound, or a plain "too few samples" (rule 10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Percentile", "design_effect", "percentile", "samples_needed"]


@dataclass(frozen=True)
class Percentile:
    """A percentile of pooled repeats. `value` and `upper` are None together: then there were too few samples."""

    quantile: float
    value: float | None
    upper: float | None
    """Upper bound of the percentile at the confidence asked for; an order statistic, no distribution assumed."""
    samples: int
    needed: int
    """Samples that the bound takes at this design effect."""
    design_effect: float
    confidence: float

    @property
    def text(self) -> str:
        """The figure as it may be printed, without unit."""
        if self.value is None:
            return f"too few samples ({self.samples} of {self.needed})"
        return f"{self.value:.3g} (at most {self.upper:.3g})"


def samples_needed(quantile: float, *, confidence: float = 0.95, effect: float = 1.0) -> int:
    """Fewest samples whose maximum is an upper bound of the quantile: quantile^n <= 1 - confidence.

    59 for p95 and 299 for p99 at 95 % (Wilks 1941; the same rule as MLPerf's early stopping), times the design effect.
    """
    return math.ceil(math.log(1.0 - confidence) / math.log(quantile) * effect - 1e-9)


def design_effect(blocks: Sequence[Sequence[float]]) -> float:
    """How many times more repeats it takes because repeats of one block resemble each other (Kish 1965).

    1 + (m - 1) * ICC, with the intra-class correlation by one-way analysis of variance and m the average number of
    repeats. At least 1. One block, or blocks of one repeat, say nothing about it: m, the worst case, is returned for
    the former, 1 for the latter.
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


def percentile(blocks: Sequence[Sequence[float]], quantile: float, *, confidence: float = 0.95) -> Percentile:
    """The quantile (0.95 for p95) of all repeats of the blocks, with its upper bound.

    The bound is the order statistic whose rank a binomial count of exceedances reaches with the confidence asked for,
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
