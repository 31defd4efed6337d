"""The ratio of two cells and its interval: from pairs of blocks wherever there are any, otherwise from both sides
separately.

Pairs are blocks of one round, measured under the same conditions. What is estimated is, as for a verdict, the median
ratio of pairs, with the interval of the sign test (`sign_test`), which assumes nothing about the noise of either side.

Two sides without pairs, such as reports of different days, are compared by the ratio of their figures. Its interval is
combined from the intervals of both (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702), which allows each side
its own noise. It does not include the differences between the days.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from kokoro_lab.measure.statistics.intervals import CONFIDENCE, Interval, block_interval
from kokoro_lab.measure.statistics.sign_test import shift

__all__ = ["Rounds", "block_ratio", "paired_ratio", "ratio_of_intervals", "unpaired_ratio"]

Rounds = Mapping[Hashable, Sequence[Sequence[float]]]
"""Round -> the blocks of one side that were measured in it, each with the values of its repeats."""


def block_ratio(candidate: Rounds, base: Rounds, *, confidence: float = CONFIDENCE) -> Interval:
    """Candidate over base, from the rounds that both have; without a common round, from all blocks of both.

    All values are above 0. Several blocks of a side in one round (replicas) count as their median. Raises ValueError
    when a side is empty.
    """
    shared = [number for number in candidate if number in base]
    if shared:
        pairs = [(_level(candidate[number]), _level(base[number])) for number in shared]
        return paired_ratio(pairs, confidence=confidence)
    sides = ([block for blocks in side.values() for block in blocks] for side in (candidate, base))
    return unpaired_ratio(*sides, confidence=confidence)


def paired_ratio(pairs: Sequence[tuple[float, float]], *, confidence: float = CONFIDENCE) -> Interval:
    """First over second, from pairs of figures of one round, each above 0; with too few pairs (95 % needs 6), their
    range."""
    return shift([math.log(first / second) for first, second in pairs], confidence).mapped(math.exp)


def unpaired_ratio(
    candidate: Sequence[Sequence[float]], base: Sequence[Sequence[float]], *, confidence: float = CONFIDENCE
) -> Interval:
    """Candidate over base, medians of the block medians of two sides that share no round; values above 0."""
    return ratio_of_intervals(*(block_interval(side, confidence=confidence) for side in (candidate, base)))


def ratio_of_intervals(candidate: Interval, base: Interval) -> Interval:
    """The ratio of two independent figures, all above 0, from their intervals; a range if either of them is a range.

    On logarithms the lower end lies below the difference by the root of the squared distances from the candidate to its
    lower end and from the base to its upper end; the upper end is computed likewise.
    """
    center = candidate.center / base.center
    count = min(candidate.count, base.count)
    confidences = (candidate.confidence, base.confidence)
    confidence = None if None in confidences else min(value for value in confidences if value is not None)
    if candidate.low is None or candidate.high is None or base.low is None or base.high is None:
        return Interval(center, None, None, count, None)
    down = math.hypot(math.log(candidate.center / candidate.low), math.log(base.high / base.center))
    up = math.hypot(math.log(candidate.high / candidate.center), math.log(base.center / base.low))
    return Interval(center, center * math.exp(-down), center * math.exp(up), count, confidence)


def _level(blocks: Sequence[Sequence[float]]) -> float:
    return float(np.median([float(np.median(block)) for block in blocks]))
