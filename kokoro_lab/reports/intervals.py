"""Intervals of one figure: the block is the unit, because repeats inside one process resemble each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

__all__ = [
    "BOOTSTRAP_BLOCKS",
    "CONFIDENCE",
    "Interval",
    "Percentile",
    "by_block",
    "failure_bound",
    "failure_tail",
    "interval",
    "percentile",
    "ratio",
]

CONFIDENCE = 0.95
BOOTSTRAP_BLOCKS = 6
"""Fewest blocks for a bootstrap: of fewer, its interval is too narrow, and Student's t on the logs is used."""
RESAMPLES = 2_000
SEED = 20_240_117
"""Fixed, so that the same rows give the same numbers."""


@dataclass(frozen=True)
class Interval:
    """A median with its 95 % interval; `low` and `high` are None where one block alone cannot tell."""

    median: float
    low: float | None
    high: float | None
    blocks: int
    values: int

    @property
    def known(self) -> bool:
        """True when there is an interval."""
        return self.low is not None and self.high is not None

    def scaled(self, factor: float) -> Interval:
        """The same interval in another unit, or relative to a bar; the factor is positive."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return Interval(self.median * factor, low, high, self.blocks, self.values)


@dataclass(frozen=True)
class Percentile:
    """An upper percentile with its 95 % upper bound, or the number of samples that it lacks."""

    value: float | None
    upper: float | None
    samples: int
    needed: int


def interval(blocks: Sequence[Sequence[float]]) -> Interval:
    """Median of the block medians, with its 95 % interval.

    From six blocks on a hierarchical bootstrap: blocks are drawn, then repeats within each. Of two to five blocks
    Student's t on the logarithms of the block medians. The interval always holds the median. One block has no interval.

    Raises ValueError without a block or with an empty one.
    """
    if not blocks or not all(len(block) for block in blocks):
        raise ValueError("an interval needs at least one block, and no empty one")
    arrays = [np.asarray(block, dtype=np.float64) for block in blocks]
    medians = np.array([np.median(block) for block in arrays])
    middle, count, values = float(np.median(medians)), len(arrays), sum(len(block) for block in arrays)
    if count == 1:
        return Interval(middle, None, None, 1, values)
    low, high = _bootstrap(arrays) if count >= BOOTSTRAP_BLOCKS or medians.min() <= 0 else _student(medians)
    return Interval(middle, min(low, middle), max(high, middle), count, values)


def ratio(candidate: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]) -> Interval:
    """Candidate over baseline, medians of blocks, with Welch's interval on the logarithms; both positive."""
    logs = [np.log([float(np.median(block)) for block in side]) for side in (candidate, baseline)]
    middle = math.exp(float(np.median(logs[0]) - np.median(logs[1])))
    blocks, values = min(len(side) for side in logs), sum(len(b) for side in (candidate, baseline) for b in side)
    if blocks < 2:
        return Interval(middle, None, None, blocks, values)
    spread = [float(np.var(side, ddof=1)) / len(side) for side in logs]
    error = math.sqrt(sum(spread))
    if error == 0:
        return Interval(middle, middle, middle, blocks, values)
    freedom = sum(spread) ** 2 / sum(s**2 / (len(side) - 1) for s, side in zip(spread, logs, strict=True))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Interval(middle, middle * math.exp(-reach), middle * math.exp(reach), blocks, values)


def percentile(blocks: Sequence[Sequence[float]], share: float) -> Percentile:
    """The `share` quantile (0.95 for p95) and its 95 % upper bound from order statistics; none of too few samples.

    The least number of samples is the n with share**n <= 0.05 (59 for p95, 299 for p99), times the design effect of the
    blocks: 1 + (m - 1) x intraclass correlation, m repeats a block.
    """
    values = np.sort(np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks]))
    effect = _design_effect(blocks)
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(share) * effect)
    if len(values) < needed:
        return Percentile(None, None, len(values), needed)
    effective = len(values) / effect
    rank = int(stats.binom.ppf(CONFIDENCE, math.floor(effective), share)) + 1
    position = min(len(values), math.ceil(rank * effect)) - 1
    return Percentile(float(np.quantile(values, share)), float(values[position]), len(values), needed)


def failure_bound(failures: int, trials: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a share of failures: 95 % one-sided when there is none, two-sided otherwise."""
    if trials < 1:
        raise ValueError("a share needs at least one trial")
    tail = (1 - CONFIDENCE) if failures == 0 else (1 - CONFIDENCE) / 2
    low = 0.0 if failures == 0 else float(stats.beta.ppf(tail, failures, trials - failures + 1))
    high = 1.0 if failures == trials else float(stats.beta.ppf(1 - tail, failures + 1, trials - failures))
    return low, high


def failure_tail(successes: int, trials: int, chance: float) -> float:
    """Chance of so many successes or more in independent trials."""
    return float(stats.binom.sf(successes - 1, trials, chance))


def by_block(frame: pd.DataFrame) -> list[list[float]]:
    """The column `value` of a frame, one list a block of a cell, in the order of the rows."""
    groups: Any = frame.groupby(["cell_id", "block"], sort=False)["value"]
    return [[float(value) for value in group] for _, group in groups]


def _student(medians: npt.NDArray[np.float64]) -> tuple[float, float]:
    logs = np.log(medians)
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1)) * error
    centre = float(np.mean(logs))
    return math.exp(centre - reach), math.exp(centre + reach)


def _bootstrap(blocks: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    random = np.random.default_rng(SEED)
    drawn = np.empty((RESAMPLES, len(blocks)))
    for column, block in enumerate(blocks):
        drawn[:, column] = np.median(random.choice(block, size=(RESAMPLES, len(block))), axis=1)
    chosen = random.integers(0, len(blocks), size=(RESAMPLES, len(blocks)))
    medians = np.median(drawn[np.arange(RESAMPLES)[:, None], chosen], axis=1)
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _design_effect(blocks: Sequence[Sequence[float]]) -> float:
    """1 + (m - 1) x intraclass correlation by analysis of variance; 1 when it cannot be told or is negative."""
    sizes = [len(block) for block in blocks]
    if len(blocks) < 2 or max(sizes) < 2:
        return 1.0
    size = sum(sizes) / len(sizes)
    means = [float(np.mean(block)) for block in blocks]
    within = sum(float(np.var(block)) * len(block) for block in blocks) / max(sum(sizes) - len(sizes), 1)
    between = float(np.var(means, ddof=1)) * size
    if between + (size - 1) * within == 0:
        return 1.0
    correlation = (between - within) / (between + (size - 1) * within)
    return 1.0 + (size - 1) * max(correlation, 0.0)
