"""Intervals of one figure: the block is the unit, because repeats inside one process resemble each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kokoro_lab.measure.noise import block_interval

__all__ = [
    "CONFIDENCE",
    "Interval",
    "by_block",
    "failure_bound",
    "failure_tail",
    "interval",
    "ratio",
]

CONFIDENCE = 0.95


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


def interval(blocks: Sequence[Sequence[float]]) -> Interval:
    """Median of the block medians, with its 95 % interval as `measure.noise.block_interval` makes it.

    Raises ValueError without a block or with an empty one.
    """
    if not blocks or not all(len(block) for block in blocks):
        raise ValueError("an interval needs at least one block, and no empty one")
    found = block_interval(blocks)
    return Interval(found.value, found.low, found.high, found.blocks, sum(len(block) for block in blocks))


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
